"""The output of a child process: lines for the log, at a limited rate; the rest is counted.

The pipe is read on the loop without waiting for its end, which a process that holds it may put off for ever.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

LINES_KEPT = 100
LONGEST_LINE = 4_000
LINES_PER_SECOND = 100.0
LINES_AT_ONCE = 1_000
"""Lines beyond the rate that are taken after a time without output: a long traceback is not cut."""
BYTES_PER_SECOND = 4_000_000
"""Beyond this the pipe is not read for the rest of the second, and the process waits in its `print`."""
REPORT_EVERY = 5.0
"""Seconds between two reports of lines that were dropped."""
_PORTION = 65_536


class LineBudget:
    """A token bucket of log lines. Times in seconds, of any one clock."""

    def __init__(self, now: float, *, rate: float = LINES_PER_SECOND, most: int = LINES_AT_ONCE) -> None:
        self._rate = rate
        self._most = float(most)
        self._left = float(most)
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` lines may be logged."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken


class OutputReader:
    """Reads the descriptor `fd`, which it owns, on the running loop.

    `say` is called with each line that is taken, `dropped` the number of those that were not. `ended` is
    set at the end of the pipe, or by `close`.
    """

    def __init__(self, fd: int, say: Callable[[str], None], dropped: Callable[[int], None]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._fd = fd
        self._say = say
        self._dropped = dropped
        self._budget = LineBudget(loop.time())
        self._kept: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._rest = b""
        self._second = loop.time()
        self._bytes = 0
        self._uncounted = 0
        self._report: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._read)

    @property
    def descriptor(self) -> int:
        """-1 when it is closed."""
        return self._fd

    @property
    def lines(self) -> Sequence[str]:
        """The last lines, those that were not logged included."""
        return tuple(map(_text, self._kept))

    def close(self) -> None:
        """Read what is in the pipe, then nothing more."""
        if self._fd < 0:
            return
        with suppress(OSError):
            for _ in range(BYTES_PER_SECOND // _PORTION):
                data = os.read(self._fd, _PORTION)
                if not data:
                    break
                self._feed(data)
        self._end()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _PORTION)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._feed(data)
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._second, self._bytes = now, 0
        self._bytes += len(data)
        if self._bytes > BYTES_PER_SECOND:
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_at(self._second + 1.0, self._go_on)

    def _go_on(self) -> None:
        self._loop.add_reader(self._fd, self._read)

    def _feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        self._take(lines)

    def _take(self, lines: list[bytes]) -> None:
        self._kept.extend(line[:LONGEST_LINE] for line in lines[-LINES_KEPT:])
        taken = self._budget.take(len(lines), self._loop.time())
        for line in lines[:taken]:
            self._say(_text(line))
        if taken < len(lines):
            self._uncounted += len(lines) - taken
            if self._report is None:
                self._report = self._loop.call_later(REPORT_EVERY, self._report_dropped)

    def _report_dropped(self) -> None:
        self._report = None
        count, self._uncounted = self._uncounted, 0
        if count:
            self._dropped(count)

    def _end(self) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._rest:
            self._take([self._rest])
            self._rest = b""
        for timer in (self._pause, self._report):
            if timer is not None:
                timer.cancel()
        self._report_dropped()
        if not self.ended.done():
            self.ended.set_result(None)


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
