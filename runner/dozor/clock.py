"""Time as a parameter.

Everything that decides takes `now` in seconds since the epoch (UTC) as a float.
`SteadyClock` gives it from the monotonic clock, so that a wall clock which is set
back an hour does not delay every checker by an hour.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

CHANGES_KEPT = 32
"""Changes of the wall clock that `SteadyClock.in_present_time` keeps."""


class Clock(Protocol):
    """Source of `now`, in seconds since the epoch (UTC)."""

    def now(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ClockChange:
    """Seconds that the machine slept, and seconds by which the wall clock was set forward."""

    slept: float
    step: float

    @property
    def total(self) -> float:
        return self.slept + self.step


class SteadyClock:
    """Seconds since the epoch, counted by the monotonic clock from a base read once."""

    __slots__ = (
        "_awake",
        "_awake_and_asleep",
        "_changes",
        "_offset",
        "_slept",
        "_subscribers",
        "_wall",
    )

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        awake: Callable[[], float] = time.monotonic,
        awake_and_asleep: Callable[[], float] | None = None,
    ) -> None:
        """`awake`: it is never set, and does not advance while the machine sleeps; the other one does."""
        self._wall = wall
        self._awake = awake
        self._awake_and_asleep = awake_and_asleep or _boot_time
        self._offset = wall() - awake()
        self._slept = self._awake_and_asleep() - awake()
        self._subscribers: list[Callable[[ClockChange], None]] = []
        self._changes: deque[tuple[float, float]] = deque(maxlen=CHANGES_KEPT)
        """What `now` was at each change that was followed, and by how many seconds it moved."""

    def now(self) -> float:
        return self._offset + self._awake()

    def look(self) -> ClockChange:
        """How this clock and the wall clock have come apart since the last `follow`."""
        slept = max(0.0, self._awake_and_asleep() - self._awake() - self._slept)
        return ClockChange(slept=slept, step=self._wall() - self.now() - slept)

    def subscribe(self, changed: Callable[[ClockChange], None]) -> None:
        """Call `changed` after each change that this clock has followed."""
        self._subscribers.append(changed)

    def follow(self, change: ClockChange) -> None:
        """Show what the wall clock shows again."""
        self._changes.append((self.now(), change.total))
        self._offset += change.total
        self._slept += change.slept
        for changed in self._subscribers:
            changed(change)

    def in_present_time(self, at: float) -> float:
        """`at`, a value of an earlier `now()`, as the clock would have shown it had it been set already.

        `now() - in_present_time(at)` is the time that passed awake. After a clock was set back, values that
        it has shown twice are taken for the later ones: the difference can be too small by the change, never
        too large.
        """
        for changed_at, moved in self._changes:
            if at <= changed_at if moved > 0 else at > changed_at + moved and at > self.now():
                at += moved
        return at

    def to_loop(self, at: float) -> float:
        """`at` (seconds since the epoch) on the time line of asyncio's `loop.time()`."""
        return at - self._offset


def _boot_time() -> float:
    """CLOCK_BOOTTIME (Linux) goes on while the machine sleeps; elsewhere a sleep looks like a set clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def to_datetime(at: float) -> datetime:
    """`at` (seconds since the epoch) as an aware UTC datetime."""
    return datetime.fromtimestamp(at, UTC)


def to_iso(at: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, or None."""
    if at is None:
        return None
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
