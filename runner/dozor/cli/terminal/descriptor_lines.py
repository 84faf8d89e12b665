"""What is written to descriptors 1 and 2 past Python's streams, as records of a JSON log.

Processes that a checker starts write there, and code in C. Each descriptor becomes a pipe that a thread of
ours reads, so that nobody who writes waits for whoever reads the log.
"""

from __future__ import annotations

import faulthandler
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TextIO, cast

from dozor.cli.terminal.streams import RedactingStream
from dozor.language import msg
from dozor.log_writer import DROPPED_LINES, LogWriter, PrintedLines, QueuedStream
from dozor.logs import LogFormat, is_human, printed_record, queue_standard_streams, warning_record
from dozor.supervision.execution.process.output import (
    BYTES_PER_SECOND,
    LINES_PER_SECOND,
    LONGEST_LINE,
    REPORT_EVERY,
    LineBudget,
)

_PORTION = 65_536
_IDLE_SECONDS = 0.5
"""After which a line without an end is written as it is."""
_LOOK_EVERY = 0.005


class DescriptorLines:
    """Takes the place of descriptor `fd` until the process ends.

    `record(line)` is the text of a record, `name` the stream's. Lines beyond the rate of `LineBudget` are
    dropped and counted; beyond BYTES_PER_SECOND those who write wait.
    """

    def __init__(self, fd: int, name: str, writer: LogWriter, record: Callable[[str], str]) -> None:
        self._writer = writer
        self._record = record
        self._name = name
        self._budget = LineBudget(time.monotonic())
        self._dropped = 0
        self._noted_at = time.monotonic()
        self._busy = False
        self._rest = b""
        self._pause = threading.Event()
        """Never set: a time to wait."""
        self._reading, writing = os.pipe()
        os.dup2(writing, fd, inheritable=True)
        os.close(writing)
        threading.Thread(target=self._read, name=f"dozor descriptor {fd}", daemon=True).start()

    def drain(self, seconds: float) -> bool:
        """Wait until what was written has become records, for at most `seconds`; whether it has."""
        until = time.monotonic() + seconds
        while self._busy or self._rest or select.select([self._reading], [], [], 0)[0]:
            if time.monotonic() > until:
                return False
            self._pause.wait(_LOOK_EVERY)
        return True

    def _read(self) -> None:
        """The thread. It ends when nobody can write any more, or somebody has closed its descriptor."""
        with suppress(OSError, ValueError):
            self._read_all()

    def _read_all(self) -> None:
        second, size = time.monotonic(), 0
        while True:
            if not select.select([self._reading], [], [], _IDLE_SECONDS)[0]:
                self._take([self._rest] if self._rest else [])
                self._rest = b""
                continue
            self._busy = True
            try:
                data = os.read(self._reading, _PORTION)
                self._feed(data)
            finally:
                self._busy = False
            if not data:
                return
            now = time.monotonic()
            if now - second >= 1.0:
                second, size = now, 0
            size += len(data)
            if size > BYTES_PER_SECOND:
                self._pause.wait(max(0.0, second + 1.0 - now))

    def _feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > LONGEST_LINE or not data:
            lines.append(rest)
            rest = b""
        self._take(lines)
        self._rest = rest

    def _take(self, lines: list[bytes]) -> None:
        now = time.monotonic()
        taken = self._budget.take(len(lines), now)
        for line in lines[:taken]:
            text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
            if text:
                self._put(self._record(text) + "\n")
        if taken < len(lines):
            DROPPED_LINES.add(len(lines) - taken)
            self._dropped += len(lines) - taken
        if self._dropped and now - self._noted_at >= REPORT_EVERY:
            rate = f"{LINES_PER_SECOND:.0f}"
            text = msg("log-child-lines-dropped", name=self._name, count=self._dropped, rate=rate)
            self._put(warning_record(text))
            self._dropped, self._noted_at = 0, now

    def _put(self, text: str) -> None:
        self._writer.put(text.encode("utf-8", "backslashreplace"))


class Output:
    """The standard streams of `dozor run`, from here on. Descriptors 1 and 2 stay as they are, unless the log
    is JSON: then `redact` is applied to what is written to them past Python's streams. One that leads to
    /dev/null stays as it is in any case.

    A crash of the interpreter is written to the standard error that was there before: nobody would read it
    from a pipe any more.
    """

    def __init__(self, form: LogFormat, redact: Callable[[str], str]) -> None:
        self._form = form
        self._lines: list[DescriptorLines] = []
        self._kept: tuple[TextIO, TextIO]
        if is_human(form, sys.stderr):
            self.writer = queue_standard_streams(form)
            self.keep()
            return
        error, output = os.dup(2), os.dup(1)  # child processes do not inherit these
        faulthandler.enable(file=error)
        self.writer = writer = queue_standard_streams(form, (error, output))
        assert isinstance(sys.stdout, PrintedLines)
        for fd, name, its in ((2, "stderr", writer), (1, "stdout", sys.stdout.writer)):
            if os.path.samestat(os.fstat(fd), os.stat(os.devnull)):
                continue
            record = partial(_redacted_record, printed_record(name), redact)
            self._lines.append(DescriptorLines(fd, name, its, record))
        self.keep()

    def keep(self) -> None:
        """What `sys.stdout` and `sys.stderr` are now is what `restore` puts back."""
        self._kept = sys.stdout, sys.stderr

    def restore(self) -> None:
        """Put back the streams that a checker, or a module while it was imported, has replaced.

        At the end of the process, the interpreter would take an error of a replaced one for its own.
        """
        sys.stdout, sys.stderr = self._kept

    def refuse(self, problems: Sequence[str]) -> bool:
        """Write each of `problems`, which may have several lines, as one record; False if the log is not JSON
        or its format is `auto`.
        """
        self.restore()
        stream = sys.stderr
        if self._form is not LogFormat.JSON or not isinstance(stream, PrintedLines):
            return False
        for problem in problems:
            stream.put_record(problem)
        return True

    def end_as_text(self, seconds: float) -> None:
        """From here on standard error takes text, unless the format is `json`: the reason why the command
        ends is for the person who has started it, although the log up to here was JSON.

        Waits for what was written before, for at most `seconds`.
        """
        self.restore()
        stream = sys.stderr
        if self._form is LogFormat.JSON or not isinstance(stream, PrintedLines):
            return
        stream.flush()
        self.flush(seconds)
        text = QueuedStream(self.writer, stream.original)
        sys.stderr = cast("TextIO", RedactingStream(text, stream.redact))
        self.keep()

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, for at most `seconds`; whether it is."""
        until = time.monotonic() + seconds
        drained = [lines.drain(max(0.0, until - time.monotonic())) for lines in self._lines]
        return self.writer.flush(max(0.0, until - time.monotonic())) and all(drained)


def _redacted_record(
    record: Callable[[str, str | None], str], redact: Callable[[str], str], line: str
) -> str:
    return record(redact(line), None)
