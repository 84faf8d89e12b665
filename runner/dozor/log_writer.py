"""Writes lines to a stream from a thread of its own: nobody who writes a line waits for the stream.

A pipe that nobody reads, a closed one and a full disk stop only this thread. What does not fit into its
queue is dropped and counted.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, TextIO, cast

from dozor.process.threads import current_run

MOST_LINES = 10_000
MOST_BYTES = 8_000_000
"""Of lines that wait to be written."""
_PORTION = 65_536
GATHER_SECONDS = 0.005
"""For which the thread collects lines before it writes them, unless there are many, or somebody waits. One
that wakes for each of thousands of lines a second takes the interpreter from those who write them."""
LONGEST_PART = 16_000
"""Characters without an end of line that `PrintedLines` keeps back."""
MOST_PARTS = 1_000
"""Threads and tasks of which it keeps some."""
_CHECK_SECONDS = 1.0
"""How long one look takes at a descriptor that does not take data."""


class Counter:
    """A number that threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self, count: int = 1) -> None:
        with self._lock:
            self.total += count


DROPPED_LINES = Counter()
"""Lines of this process that did not reach the log: `dozor_log_dropped_total`."""


class Sink(Protocol):
    """Where bytes go. `write` may block, and raises OSError or ValueError if it cannot write."""

    def write(self, data: bytes) -> None: ...


class DescriptorSink:
    """A descriptor, without the locks of Python's file objects, for which others would wait."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view[:_PORTION]) :]
            except BlockingIOError:  # whoever started us has made it non-blocking
                select.select([], [self._fd], [], _CHECK_SECONDS)


class StreamSink:
    """A text stream that Dozor does not own, such as `sys.stderr` of an application."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(data.decode(encoding, "replace"))
        self._stream.flush()


class Ticket:
    """A text that somebody waits for."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self.error: Exception | None = None
        """Why it could not be written."""
        self.cancelled = False
        """Nobody waits any more: it is not written if that has not begun."""

    def settle(self, error: Exception | None) -> None:
        self.error = error
        self._settled.set()

    @property
    def settled(self) -> bool:
        return self._settled.is_set()


class LogWriter:
    """`note`: the line with the number of dropped ones, written when the stream takes lines again."""

    def __init__(
        self,
        sink: Sink,
        *,
        note: Callable[[int], str],
        name: str = "dozor log",
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
        dropped: Counter = DROPPED_LINES,
    ) -> None:
        self._sink = sink
        self._note = note
        self._name = name
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._dropped = dropped
        self._changed = threading.Condition(threading.Lock())
        self._lines: deque[bytes] = deque()
        self._urgent: deque[tuple[bytes, Ticket]] = deque()
        self._bytes = 0
        self._lost = 0
        """Dropped since the last note."""
        self._writing = False
        self._idle = True
        """The thread waits for a line, or is not started yet."""
        self._flushing = 0
        """How many wait for everything to be written."""
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> bool:
        """Write `line` soon; False if the queue is full. A forked child writes at once."""
        if os.getpid() != self._pid:
            self._try(line)
            return True
        with self._changed:
            if len(self._lines) >= self._most_lines or self._bytes + len(line) > self._most_bytes:
                self._lost += 1
                self._dropped.add()
                return False
            self._lines.append(line)
            self._bytes += len(line)
            if self._idle or self._ended():
                self._wake()
        return True

    def send(self, text: bytes) -> Ticket:
        """Write `text` before all lines that wait. The ticket has the result."""
        ticket = Ticket()
        if os.getpid() != self._pid:
            ticket.settle(self._try(text))
            return ticket
        with self._changed:
            self._urgent.append((text, ticket))
            self._wake()
        return ticket

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, for at most `seconds`; whether it is."""
        until = time.monotonic() + seconds
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                while self._lines or self._urgent or self._writing:
                    left = until - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
            finally:
                self._flushing -= 1
        return True

    def _ended(self) -> bool:
        """Whether there is no thread: none yet, or a checker has raised an exception in it
        (`PyThreadState_SetAsyncExc`).
        """
        return self._thread is None or not self._thread.is_alive()

    def _wake(self) -> None:
        self._idle = False
        if self._ended():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                while not (self._lines or self._urgent):
                    self._idle = True
                    self._changed.wait()
                self._idle = False
                if not self._urgent and not self._flushing and self._bytes < _PORTION:
                    self._changed.wait(GATHER_SECONDS)
                self._writing = True
                urgent = self._urgent.popleft() if self._urgent else None
                lines = self._take() if urgent is None else []
                lost = 0
                if urgent is None:
                    lost, self._lost = self._lost, 0
            if urgent is not None:
                text, ticket = urgent
                if not ticket.cancelled:
                    ticket.settle(self._try(text))
            elif self._try(b"".join(lines)) is not None:
                self._dropped.add(len(lines))
            elif lost:
                self._try(self._note(lost).encode("utf-8", "backslashreplace"))

    def _take(self) -> list[bytes]:
        """Some of the lines, so that an urgent text does not wait for all of them."""
        taken: list[bytes] = []
        size = 0
        while self._lines and size < _PORTION:
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return taken

    def _try(self, data: bytes) -> Exception | None:
        try:
            self._sink.write(data)
        except (OSError, ValueError) as error:  # closed, nobody reads, no space
            return error
        return None


class ConsoleForm:
    """Whether standard error of this process takes JSON only: `dozor run --log-format json`."""

    def __init__(self) -> None:
        self.json = False


CONSOLE = ConsoleForm()


class QueuedStream(io.TextIOWrapper):
    """Replaces `sys.stdout` or `sys.stderr` of the runner: what is printed goes to `writer`."""

    def __init__(self, writer: LogWriter, original: TextIO) -> None:
        super().__init__(
            _Queue(writer, original),  # type: ignore[arg-type]
            encoding=getattr(original, "encoding", None) or "utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        self._writer = writer

    @property
    def writer(self) -> LogWriter:
        return self._writer


def _task_of_context() -> str | None:
    run = current_run.get()
    return None if run is None else run.name


class PrintedLines(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` of a runner with a JSON log: each line becomes a record.

    `record(line, task)` is that record as text, without the end of line; `task` is what `task_here` says,
    None for a line that is not of a run. `redact` is applied to what is printed at once, so that a secret of
    several lines is found. What has no end of line yet is kept for each thread and task apart: pieces of two
    lines never mix.
    """

    def __init__(
        self,
        writer: LogWriter,
        original: TextIO,
        record: Callable[[str, str | None], str],
        redact: Callable[[str], str] = str,
        task_here: Callable[[], str | None] = _task_of_context,
    ) -> None:
        self._task_here = task_here
        self.writer = writer
        self.redact = redact
        self.original = original
        self._record = record
        self._open: dict[tuple[int, str | None], str] = {}
        self._buffer = cast("BinaryIO", TextBytes(self, "utf-8"))

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of a file it cannot be assigned either
        return "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # as above
        return "backslashreplace"

    @property
    def buffer(self) -> BinaryIO:
        """Takes text as bytes; bytes that are no text become `\\xff`."""
        return self._buffer

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def write(self, text: str, /) -> int:
        key = self._key()
        whole, end, rest = (self._open.pop(key, "") + text).rpartition("\n")
        if len(rest) > LONGEST_PART or len(self._open) >= MOST_PARTS:
            whole, end, rest = f"{whole}{end}{rest}", "\n", ""
        if rest:
            self._open[key] = rest
        if end:
            self._put(whole, key[1])
        return len(text)

    def flush(self) -> None:
        """A line of this thread and task that has no end yet is written as it is."""
        key = self._key()
        rest = self._open.pop(key, "")
        if rest:
            self._put(rest, key[1])

    def put_record(self, text: str) -> None:
        """One record, even if `text` has several lines."""
        self.flush()
        record = self._record(self.redact(text), self._task_here())
        self.writer.put(f"{record}\n".encode("utf-8", "backslashreplace"))

    def _put(self, lines: str, task: str | None) -> None:
        records = (self._record(line, task) for line in self.redact(lines).splitlines() if line.strip())
        for one in records:
            self.writer.put(f"{one}\n".encode("utf-8", "backslashreplace"))

    def _key(self) -> tuple[int, str | None]:
        return threading.get_ident(), self._task_here()


class TextBytes(io.BufferedIOBase):
    """`buffer` of a text stream: bytes become text of `encoding` for `stream`; what is no text, `\\xff`."""

    def __init__(self, stream: io.TextIOBase, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: Any, /) -> int:
        self._stream.write(self._decoder.decode(data))
        return memoryview(data).nbytes

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()


class _Queue(io.RawIOBase):
    def __init__(self, writer: LogWriter, original: TextIO) -> None:
        super().__init__()
        self._writer = writer
        self._original = original

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._writer.put(raw)
        return len(raw)

    def fileno(self) -> int:
        return self._original.fileno()

    def isatty(self) -> bool:
        return self._original.isatty()
