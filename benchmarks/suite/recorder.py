"""Lateness of runs, written by the process under measurement to a file that both processes map."""

from __future__ import annotations

import math
import mmap
import time
from pathlib import Path

HEADER = 2
"""Values before the recorded ones: their number, and the time of the first run (seconds since the epoch)."""
VALUES = 400_000
"""How many are kept; later ones are only counted."""


class Recorder:
    """`ran` costs less than a microsecond, makes no system call and needs no flush."""

    def __init__(self, path: Path) -> None:
        size = 8 * (HEADER + VALUES)
        with path.open("a+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._view = memoryview(self._map).cast("d")

    def ran(self, due: float | None) -> None:
        """A run begins that was due at `due`, seconds since the epoch; None: not known, the first."""
        now = time.time()
        view = self._view
        number = int(view[0])
        if number < VALUES:
            view[HEADER + number] = math.nan if due is None else max(0.0, now - due)
        view[0] = number + 1.0
        if number == 0:
            view[1] = now

    @property
    def count(self) -> int:
        """Runs recorded so far."""
        return int(self._view[0])

    @property
    def first_at(self) -> float:
        """When the first run began; seconds since the epoch, 0 before it."""
        return self._view[1]

    def lateness(self, first: int, last: int) -> list[float]:
        """Seconds, of the runs from number `first` up to `last` whose due time is known."""
        values = self._view[HEADER + first : HEADER + min(last, VALUES)]
        return [value for value in values if not math.isnan(value)]

    def close(self) -> None:
        """Unmap the file."""
        self._view.release()
        self._map.close()


class Beat:
    """A task that records: once a second from its own first run, or from its previous run.

    For schedulers that do not give a run its due time. `fixed_rate`: due times are a second apart, and
    lateness is counted within its second. Otherwise a run is due a second after the previous one.
    """

    __slots__ = ("_due", "_fixed_rate", "_recorder")

    def __init__(self, recorder: Recorder, *, fixed_rate: bool, first_due: float | None = None) -> None:
        self._recorder = recorder
        self._fixed_rate = fixed_rate
        self._due = first_due

    def ran(self) -> None:
        now = time.time()
        if self._due is not None and self._fixed_rate:
            self._due = now - (now - self._due) % 1.0
        self._recorder.ran(self._due)
        if not self._fixed_rate:
            self._due = now + 1.0
