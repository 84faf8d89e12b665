"""Availability of Dozor's own database, for supervision, `/readyz` and the status page."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.clock import Clock
from dozor.errors import out_of_resources
from dozor.exceptions import chain_of
from dozor.language import msg
from dozor.storage.postgres.pool import unavailable

PROBE_TIMEOUT = 3.0
"""Seconds."""
FLAPS, FLAPS_WITHIN = 4, 60.0
"""So many outages within so many seconds are flapping."""
STABLE_AFTER = 5.0
"""Seconds without a failure after which a flapping database counts as up."""


class DatabaseHealth:
    """Reported up and down by whoever talks to the database."""

    def __init__(self, clock: Clock, probe: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._probe = probe
        self._contexts = CleanContext()
        self._probing: asyncio.Task[bool] | None = None
        self.up = True
        self.down_since: float | None = None
        """Seconds since the epoch; None while it is up."""
        self.last_down_at = float("-inf")
        """When it was last known to be down."""
        self.outages = 0
        self._recent: deque[float] = deque(maxlen=FLAPS)
        """When the last outages began."""
        self._subscribers: list[Callable[[bool], None]] = []

    def subscribe(self, changed: Callable[[bool], None]) -> None:
        """Call `changed` on each change, with whether the database is up."""
        self._subscribers.append(changed)

    @property
    def flapping(self) -> bool:
        """It went away `FLAPS` times of late."""
        recent = self._recent
        return len(recent) == FLAPS and self._clock.now() - recent[0] < FLAPS_WITHIN

    def report_down(self, reason: str) -> None:
        """A caller could not reach it."""
        self._went_down(reason, "log-database-away")

    def report_unreachable(self, reason: str) -> None:
        """This process lacks descriptors or memory to reach it: for supervision the same, in other words."""
        self._went_down(reason, "log-database-no-resources")

    def _went_down(self, reason: str, key: str) -> None:
        self.last_down_at = self._clock.now()
        if not self.up:
            return
        self.up = False
        self.down_since = self.last_down_at
        self.outages += 1
        self._recent.append(self.last_down_at)
        logger.error(msg(key, reason=reason))
        if self.flapping:
            seconds = f"{self.last_down_at - self._recent[0]:.0f}"
            logger.warning(
                msg("log-database-flaps", times=FLAPS, seconds=seconds, stable=f"{STABLE_AFTER:.0f}")
            )
        for changed in self._subscribers:
            changed(False)

    def report_cut(self) -> None:
        """Sessions of ours were ended, whether or not the database is there again by now."""
        self.last_down_at = self._clock.now()

    def report_up(self) -> None:
        """A caller has just got an answer. If it flaps, it is up only after `STABLE_AFTER` without a failure.

        Answers come at least once a second, so that no timer is needed.
        """
        if self.up or (self.flapping and self._clock.now() - self.last_down_at < STABLE_AFTER):
            return
        since = self.down_since
        self.up = True
        self.last_down_at = self._clock.now()
        self.down_since = None
        away = max(0.0, self.last_down_at - (since or self.last_down_at))  # the clock may have been set back
        logger.info(msg("log-database-back", seconds=f"{away:.1f}"))
        for changed in self._subscribers:
            changed(True)

    async def explains(self, error: BaseException, started_at: float, used_database: bool) -> bool:
        """Did a run that began at `started_at` (seconds since the epoch) fail because the database was away?

        Only an outage that this runner has observed itself explains a failure: an error that only looks like
        one counts.
        """
        if not used_database and not any(map(unavailable, islice(chain_of(error), 10))):
            return False
        if not self.up or self.last_down_at >= started_at:
            return True
        return not await self.probe() or self.last_down_at >= started_at

    async def probe(self) -> bool:
        """Ask the database now, with a time limit; concurrent callers share one query."""
        if self._probing is None or self._probing.done():
            # Asked for by a run that failed: the answer, and what follows from it, is not part of that run.
            self._probing = asyncio.get_running_loop().create_task(
                self._ask(), context=self._contexts.fresh()
            )
        return await asyncio.shield(self._probing)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._probe()
        except Exception as error:
            if out_of_resources(error):
                return True  # no answer about the database, whose other sessions go on
            if not unavailable(error):
                raise
            self.report_down(msg("log-on-a-probe", name=type(error).__name__))
            return False
        return True
