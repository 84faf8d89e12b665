"""Standard input, output and error of the process: all open, and without secrets where checkers print."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import BinaryIO, TextIO


def open_standard_streams() -> None:
    """Those that were closed (`2>&-`) lead to /dev/null: else the next socket or file takes their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 -- for the life of the process
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class RedactingStream(io.TextIOBase):
    """What is printed, without secrets. A line is written when it ends, or is flushed."""

    def __init__(self, stream: TextIO, redact: Callable[[str], str]) -> None:
        self._stream = stream
        self._redact = redact
        self._line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of a file it cannot be assigned either
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # as above
        return self._stream.errors

    @property
    def buffer(self) -> BinaryIO:
        """Of bytes nothing is known: they are written as they are."""
        return self._stream.buffer

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        whole, end, rest = (self._line + text).rpartition("\n")
        self._line = rest
        if end:
            self._stream.write(self._redact(whole) + end)
        return len(text)

    def flush(self) -> None:
        rest, self._line = self._line, ""
        if rest:
            self._stream.write(self._redact(rest))
        self._stream.flush()


def redact_prints(redact: Callable[[str], str]) -> None:
    """Of this whole process: it is Dozor's own, not an application that Dozor is embedded in."""
    sys.stdout = RedactingStream(sys.stdout, redact)
    sys.stderr = RedactingStream(sys.stderr, redact)
