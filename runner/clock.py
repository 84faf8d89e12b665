"""Time as a parameter.

Everything that decides takes `now` in seconds since the epoch (UTC) as a float.
`SteadyClock` gives it from the monotonic clock, so that a wall clock which is set
back an hour does not put every checker to sleep for an hour.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of `now`, in seconds since the epoch (UTC)."""

    def now(self) -> float: ...


class SteadyClock:
    """Seconds since the epoch, counted by the monotonic clock from a base read once."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    def to_loop(self, at: float) -> float:
        """`at` (seconds since the epoch) on the time line of asyncio's `loop.time()`."""
        return at - self._offset


def to_datetime(at: float) -> datetime:
    """`at` (seconds since the epoch) as an aware UTC datetime."""
    return datetime.fromtimestamp(at, UTC)


def to_iso(at: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, or None."""
    if at is None:
        return None
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
