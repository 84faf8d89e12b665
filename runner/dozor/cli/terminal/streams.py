"""Standard output and error without secrets, where checkers print."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO, cast

from dozor.log_writer import PrintedLines, TextBytes
from dozor.logs import Details, printed_record


class RedactingStream(io.TextIOBase):
    """What is printed, without secrets. A line is written when it ends, or is flushed."""

    def __init__(self, stream: TextIO, redact: Callable[[str], str]) -> None:
        self._stream = stream
        self._redact = redact
        self._line = ""
        self._buffer = cast("BinaryIO", TextBytes(self, stream.encoding or "utf-8"))

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of a file it cannot be assigned either
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # as above
        return self._stream.errors

    @property
    def buffer(self) -> BinaryIO:
        """Takes text as bytes, redacted as other text is. Bytes that are no text are written as `\\xff`."""
        return self._buffer

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


def redact_prints(redact: Callable[[str], str], details: Details = lambda task: {}) -> None:
    """Of this whole process: it is Dozor's own, not an application that Dozor is embedded in.

    `details`: what records of printed lines say of the run, where the log is JSON.
    """
    sys.stdout = _redacting(sys.stdout, "stdout", redact, details)
    sys.stderr = _redacting(sys.stderr, "stderr", redact, details)


def _redacting(stream: TextIO, name: str, redact: Callable[[str], str], details: Details) -> Any:
    from dozor.supervision.runs.ownership import task_here

    if isinstance(stream, PrintedLines):
        return PrintedLines(stream.writer, stream.original, printed_record(name, details), redact, task_here)
    return RedactingStream(stream, redact)
