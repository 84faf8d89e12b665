"""Is our own database there? One answer for all who ask: supervision, `/readyz`, the status page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.clock import Clock
from dozor.language import msg
from dozor.storage.postgres.pool import unavailable

PROBE_TIMEOUT = 3.0
"""Seconds."""


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
        self._subscribers: list[Callable[[bool], None]] = []

    def subscribe(self, changed: Callable[[bool], None]) -> None:
        """Call `changed` on each change, with whether the database is up."""
        self._subscribers.append(changed)

    def report_down(self, reason: str) -> None:
        """Somebody could not reach it."""
        self.last_down_at = self._clock.now()
        if not self.up:
            return
        self.up = False
        self.down_since = self.last_down_at
        self.outages += 1
        logger.error(msg("log-database-away", reason=reason))
        for changed in self._subscribers:
            changed(False)

    def report_cut(self) -> None:
        """Sessions of ours were ended, whether or not the database is there again by now."""
        self.last_down_at = self._clock.now()

    def report_up(self) -> None:
        """Somebody has just got an answer."""
        if self.up:
            return
        since = self.down_since
        self.up = True
        self.last_down_at = self._clock.now()
        self.down_since = None
        logger.info(
            msg("log-database-back", seconds=f"{self.last_down_at - (since or self.last_down_at):.1f}")
        )
        for changed in self._subscribers:
            changed(True)

    async def explains(self, error: BaseException, started_at: float, used_database: bool) -> bool:
        """Did a run that began at `started_at` (seconds since the epoch) fail because the database was away?

        Only an outage that we saw or see ourselves excuses: an error that merely looks like one counts.
        """
        if not used_database and not any(unavailable(cause) for cause in _chain(error)):
            return False
        if not self.up or self.last_down_at >= started_at:
            return True
        return not await self.probe() or self.last_down_at >= started_at

    async def probe(self) -> bool:
        """Ask the database now, with a time limit; however many ask, one question goes out at a time."""
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
            if not unavailable(error):
                raise
            self.report_down(msg("log-on-a-probe", name=type(error).__name__))
            return False
        return True


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, at most 10 links."""
    links: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in links and len(links) < 10:
        links.append(current)
        current = current.__cause__ or current.__context__
    return links
