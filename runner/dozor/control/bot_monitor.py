"""Monitors the bot: an incident when it gets no updates, or when its handlers fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import AlertData
from dozor.clock import Clock
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.readiness import DEAF_AFTER
from dozor.language import msg

LOOK_EVERY = 5.0
CALM_AFTER = 600.0
"""Seconds without another failure after which the bot counts as well again."""
DEAF, DEFECT = "commands", "answers"


class BotMonitor:
    """`heard_at`: when Telegram last gave updates (None: not yet). `problem`: what is wrong, if known."""

    def __init__(
        self,
        manager: IncidentManager,
        clock: Clock,
        heard_at: Callable[[], float | None],
        problem: Callable[[], str | None],
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        """`elapsed`: seconds that nobody can set, such as `time.monotonic`; None: nor is `clock` set."""
        self._manager, self._clock = manager, clock
        self._heard_at, self._problem = heard_at, problem
        self._since = clock.now()
        self._elapsed = elapsed
        self._heard: tuple[float | None, float] = (None, 0.0 if elapsed is None else elapsed())
        """The value of `heard_at` when it last changed, and the time of that on `elapsed`."""
        self._failed_at: float | None = None

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Open and close incidents."""
        now = self._clock.now()
        silent = self._silent_for(now)
        if silent > DEAF_AFTER:
            text = self._problem() or msg("log-no-poll", seconds=f"{silent:.0f}")
            self._manager.open_incident(IncidentKind.BOT, DEAF, AlertData(text=text), since=now - silent)
        else:
            self._manager.resolve_incident(IncidentKind.BOT, DEAF)
        if self._failed_at is not None and now - self._failed_at > CALM_AFTER:
            self._failed_at = None
            self._manager.resolve_incident(IncidentKind.BOT, DEFECT)

    def _silent_for(self, now: float) -> float:
        """Seconds since Telegram last gave updates; a clock that is set by a day does not add to them."""
        heard_at = self._heard_at()
        if self._elapsed is None:
            return now - (heard_at or self._since)
        if heard_at != self._heard[0]:
            self._heard = heard_at, self._elapsed()
        return self._elapsed() - self._heard[1]

    def failed(self, error: BaseException) -> None:
        """The bot could not handle a command: a defect of Dozor."""
        self._failed_at = self._clock.now()
        self._manager.open_incident(
            IncidentKind.BOT, DEFECT, AlertData(text=f"{type(error).__name__}: {error}"[:500])
        )
