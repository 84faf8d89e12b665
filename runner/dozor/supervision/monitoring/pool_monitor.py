"""Notices that runs wait too long for a connection of `ctx.db`; closes what ended runs still hold."""

from __future__ import annotations

import asyncio

from loguru import logger

from dozor.clock import Clock
from dozor.language import msg
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

CHECK_EVERY = 1.0
"""Seconds."""
SUBJECT = "ctx.db"


class PoolMonitor:
    """`starved_after`: seconds that a run may wait while other runs hold every connection."""

    def __init__(
        self, checkers: CheckerPool, troubles: TroubleListener, clock: Clock, starved_after: float
    ) -> None:
        self._checkers = checkers
        self._troubles = troubles
        self._clock = clock
        self._starved_after = starved_after
        self._raised = False

    async def run(self) -> None:
        """Check for ever."""
        while True:
            self._checkers.reclaim()
            self.check()
            await asyncio.sleep(CHECK_EVERY)

    def check(self) -> None:
        """Raise the trouble once, and clear it when a connection is free or every waiting run is served."""
        since, now = self._checkers.starved_since, self._clock.now()
        if since is None:
            if self._raised:
                self._raised = False
                logger.info(msg("log-pool-free"))
                self._troubles.cleared(Trouble(kind=TroubleKind.POOL_EXHAUSTED, subject=SUBJECT))
        elif not self._raised and now - since >= self._starved_after and self._checkers.all_held:
            self._raised = True
            self._troubles.raised(self._trouble(now - since))

    def _trouble(self, seconds: float) -> Trouble:
        holders, waiting = self._checkers.holders, self._checkers.waiting
        held = (msg("log-pool-holder", task=holder.task, run=holder.run_id) for holder in holders)
        logger.error(
            msg(
                "log-pool-starved",
                seconds=f"{seconds:.1f}",
                holders=", ".join(held) or "-",
                waiting=", ".join(waiting) or "-",
            )
        )
        return Trouble(
            kind=TroubleKind.POOL_EXHAUSTED,
            subject=SUBJECT,
            seconds=seconds,
            count=self._checkers.size,
            waiting=waiting,
            holders=holders,
        )
