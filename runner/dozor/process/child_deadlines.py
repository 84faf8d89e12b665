"""The deadline of child processes: each of them ends at it, whatever became of the process that started it.

    window extended ──pipe──▶ keeper of each child ──▶ two kernel timers of the keeper
                                              deadline: SIGTERM, the keeper kills the child's tree
                                              deadline + slack: SIGKILL, and with the keeper the child

The keeper runs none of the child's code, so a child that blocks its loop or holds the GIL for long lives on
while the window is extended. The second timer is for a keeper that was stopped (SIGSTOP to a whole tree of
processes, a frozen container): the kernel kills it all the same, and kills the child at the keeper's end
(prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

MESSAGE = struct.Struct("=dd")
"""Times of the two signals by CLOCK_BOOTTIME, seconds; (0, 0): the timers are disarmed."""
DISARMED = MESSAGE.pack(0.0, 0.0)


class ChildDeadline:
    """The pipe of one child. `reading`: inherited by its keeper; -1 once closed here, as is `writing`."""

    def __init__(self, deadlines: ChildDeadlines, reading: int, writing: int) -> None:
        self._deadlines = deadlines
        self.reading = reading
        self.writing = writing

    def started(self) -> None:
        """The keeper has its end."""
        if self.reading >= 0:
            os.close(self.reading)
            self.reading = -1

    def close(self) -> None:
        """The child has ended, or could not be started."""
        self.started()
        if self.writing >= 0:
            self._deadlines.forget(self.writing)
            os.close(self.writing)
            self.writing = -1


class ChildDeadlines:
    """For all child processes of one window. `slack`: seconds between the two signals."""

    def __init__(self, slack: float) -> None:
        self._slack = slack
        self._message = DISARMED
        self._writing: set[int] = set()

    def open(self) -> ChildDeadline:
        """For one more child. Raises OSError if there are no descriptors left."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self._writing.add(writing)
        if self._message != DISARMED:
            self._send(writing)
        return ChildDeadline(self, reading, writing)

    def forget(self, writing: int) -> None:
        """Its child has ended: nothing is written to this descriptor any more."""
        self._writing.discard(writing)

    def end_at(self, at: float) -> None:
        """`at`: by CLOCK_BOOTTIME, seconds."""
        self._change(MESSAGE.pack(at, at + self._slack))

    def disarm(self) -> None:
        """The children may live on; `end_at` sets the deadline again."""
        self._change(DISARMED)

    def _change(self, message: bytes) -> None:
        if message != self._message:
            self._message = message
            for writing in self._writing:
                self._send(writing)

    def _send(self, writing: int) -> None:
        # A keeper that reads nothing any more ends at the deadline that it knows.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(writing, self._message)
