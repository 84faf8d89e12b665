"""Processes made by fork: a new runner costs milliseconds, not the imports of a new interpreter."""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

_PR_SET_PDEATHSIG = 1
_FILES = 1024


class Cell(IntEnum):
    """Numbers that all processes of a siege see."""

    RUNNER = 0
    """The pid of the present runner; 0: there is none."""
    PORT = 1
    """Where the stand-in listens."""
    DRAINED = 2
    """1: the runner has found that all is told."""
    LEFT = 3
    """How much it has found that is not told yet, or not over."""


class Board:
    """Shared by all processes forked after it was made."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * len(Cell))

    def __getitem__(self, cell: Cell) -> int:
        value: int = struct.unpack_from("<q", self._memory, 8 * cell)[0]
        return value

    def __setitem__(self, cell: Cell, value: int) -> None:
        struct.pack_into("<q", self._memory, 8 * cell, value)


class Child:
    """A process that does `work` and ends: 0 if it returns, 1 with a traceback on stderr if it raises."""

    def __init__(self, work: Callable[[], None]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.code: int | None = None
        """How it has ended, negative for a signal; None: not yet."""
        self.pid = os.fork()
        if self.pid == 0:
            _be(work)
        self._handle = os.pidfd_open(self.pid)

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` real seconds."""
        if self.code is None and select.select([self._handle], [], [], timeout)[0]:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._handle)
        return self.code is not None

    def signal(self, number: signal.Signals) -> None:
        if self.code is None:
            signal.pidfd_send_signal(self._handle, number)


def _be(work: Callable[[], None]) -> None:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # dies with its parent
        os.closerange(3, _FILES)  # the parent's locks are its own
        work()
        code = 0
    except BaseException:  # noqa: BLE001 -- the end of a process, said aloud
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
