"""Seconds that pass faster, alike for every process: an asyncio loop, a clock, and PostgreSQL's `now()`.

Time-outs, pauses and paces keep their proportions; only computing does not become faster. So the machine
looks `speed` times as slow as it is.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from dozor.clock import ClockChange, SteadyClock

T = TypeVar("T")

EPOCH = 1_767_607_200.0
"""2026-01-05 10:00 UTC: when a siege begins."""

# Found before pg_catalog.now(), also by the defaults of columns: make it before the schema.
DATABASE_CLOCK_SQL = """
CREATE SCHEMA haste;
CREATE FUNCTION haste.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT to_timestamp({epoch} + (extract(epoch FROM pg_catalog.now())::float8 - {wall}) * {speed})
$$;
ALTER DATABASE postgres SET search_path = haste, pg_catalog, public;
"""


@dataclass(frozen=True, slots=True)
class Haste:
    """`began`: of the monotonic clock, which all processes share; `wall`: of the wall clock, just then."""

    speed: float
    began: float
    wall: float

    @classmethod
    def begin(cls, speed: float) -> Haste:
        return cls(speed, time.monotonic(), time.time())

    def seconds(self) -> float:
        """Fast seconds since the beginning."""
        return (time.monotonic() - self.began) * self.speed

    def now(self) -> float:
        """Fast seconds since the epoch."""
        return EPOCH + self.seconds()

    def clock(self) -> HastyClock:
        return HastyClock(self)

    def database_clock(self) -> str:
        """SQL that makes `now()` of the present database as fast."""
        return DATABASE_CLOCK_SQL.format(epoch=EPOCH, wall=self.wall, speed=self.speed)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On a fast loop of its own."""
        with asyncio.Runner(loop_factory=lambda: HastyLoop(self)) as runner:
            return runner.run(work)


class HastyClock(SteadyClock):
    """Nobody sets it, and it does not sleep."""

    __slots__ = ()

    def __init__(self, haste: Haste) -> None:
        super().__init__(wall=haste.now, awake=haste.seconds, awake_and_asleep=haste.seconds)
        self._offset = EPOCH  # to the bit, in every process

    def look(self) -> ClockChange:
        return ClockChange(slept=0.0, step=0.0)


class HastyLoop(asyncio.SelectorEventLoop):
    """Everything that waits on it waits `speed` times shorter."""

    def __init__(self, haste: Haste) -> None:
        self._haste = haste
        super().__init__(_HastySelector(haste.speed))

    def time(self) -> float:
        return self._haste.seconds()


class _HastySelector(selectors.SelectSelector):
    """`select` and not `epoll`: microseconds count here."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._speed)
