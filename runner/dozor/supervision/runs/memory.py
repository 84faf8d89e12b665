"""Memory that failed runs leave behind in reference cycles of their own."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable

STEP = 48_000_000
"""Bytes by which the process has grown since the last look before the collector is called."""
LOOK_EVERY = 0.01
"""Seconds between two looks at least: thousands of tasks may fail in a second, and a look is three calls
of the system, at each of which another thread takes the interpreter."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Reclaimer:
    """Calls the garbage collector when the process has grown by `STEP` at the time of a failure.

    The runner's collector is set to run rarely. A checker that keeps its errors in a list keeps the variables
    of their frames with them, in a cycle, and those may be large. `clock`: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._floor: int | None = None
        self._next_look = float("-inf")

    def after_failure(self) -> None:
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        used = resident()
        if self._floor is None or used < self._floor:
            self._floor = used
        elif used - self._floor > STEP:
            gc.collect(1)  # what a short run has left is young, and this takes a fraction of the time
            if resident() - self._floor > STEP:
                gc.collect()
            self._floor = resident()


def resident() -> int:
    """Bytes of memory of this process; 0 where the system does not provide it."""
    try:
        number = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    # Not through a file object, which takes several times as long.
    try:
        return int(os.read(number, 200).split()[1]) * _PAGE
    except OSError:
        return 0
    finally:
        os.close(number)


reclaim_memory = Reclaimer().after_failure
