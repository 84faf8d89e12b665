"""Memory that failed runs leave behind in reference cycles of their own."""

from __future__ import annotations

import gc
import os

STEP = 48_000_000
"""Bytes by which the process has grown since the last look before the collector is called."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Reclaimer:
    """Calls the garbage collector when the process has grown by `STEP` at the time of a failure.

    The runner's collector is set to run rarely. A checker that keeps its errors in a list keeps the variables
    of their frames with them, in a cycle, and those may be large.
    """

    def __init__(self) -> None:
        self._floor: int | None = None

    def after_failure(self) -> None:
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
    # Not through a file object, which takes several times as long: this is read at every failure.
    try:
        return int(os.read(number, 200).split()[1]) * _PAGE
    except OSError:
        return 0
    finally:
        os.close(number)


reclaim_memory = Reclaimer().after_failure
