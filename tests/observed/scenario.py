"""A runner under Prometheus: everything that a rule alerts about happens, and ends again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dozor.config.imports.checkers import Checker
from dozor.supervision.core.events import Restart
from tests.bot.botapi.server import BotApi
from tests.observed.stack import Stack, free_port
from tests.server import PostgresControl
from tests.waiting import stretched
from tests.web.site import Site, open_site

TASKS = """
healthy: {run: 'm:f', every: 500ms}
stopping: {run: 'm:f', every: 200ms, restart_delay: 100ms, max_consecutive_failures: 4}
overdue: {run: 'm:f', every: 500ms, restart_delay: 500ms, max_consecutive_failures: null, overdue_after: 2s}
behind: {run: 'm:f', every: 500ms}
blocking: {run: 'm:f', every: 500ms}
"""
WHILE_BROKEN = {
    "DozorTaskStopped", "DozorTaskFailing", "DozorTaskOverdue", "DozorBacklogOld", "DozorAlertsUnsent",
    "DozorBotDeaf", "DozorLoopBlocked", "DozorRunsLate",
}  # fmt: skip
PASSES = {"DozorLoopBlocked", "DozorRunsLate"}
"""Of these: over by themselves."""
WITHOUT_DATABASE = {"DozorDatabaseDown", "DozorNotReady"}
ADMIN = 111


class World:
    """What goes wrong, and the runner it happens to. Everything is in order until `break_everything`."""

    def __init__(self, folder: Path, postgres: PostgresControl, api: BotApi) -> None:
        self.port = free_port()
        self._folder = folder
        self._postgres = postgres
        self._api = api
        self._failing = False
        self._behind = False
        self._block_for = 0.0
        self.site: Site

    @asynccontextmanager
    async def runner(self) -> AsyncIterator[None]:
        """The runner, always on the same port."""

        async def well() -> None:
            return

        async def fail() -> None:
            if self._failing:
                raise ConnectionError("the payment service answers 503")

        async def report(ctx: Any) -> None:
            ctx.backlog(7 if self._behind else 0, datetime.now(UTC) - timedelta(minutes=20))

        async def block() -> None:
            seconds, self._block_for = self._block_for, 0.0
            if seconds:
                time.sleep(seconds)  # noqa: ASYNC251, TID251 -- the very mistake that is to be noticed

        checkers: dict[str, Checker] = {
            "healthy": well, "stopping": fail, "overdue": fail, "behind": report, "blocking": block,
        }  # fmt: skip
        telegram = (
            f"{{token: '{self._api.token}', api_url: '{self._api.url}', chat: {ADMIN}, admins: [{ADMIN}]}}"
        )
        more = f"web: {{listen: '127.0.0.1:{self.port}'}}\ntelegram: {telegram}"
        async with open_site(self._folder, self._postgres.dsn, checkers, tasks=TASKS, more=more) as site:
            self.site = site
            chatter = asyncio.create_task(self._chat_on())
            try:
                yield
            finally:
                chatter.cancel()
                await asyncio.gather(chatter, return_exceptions=True)

    async def _chat_on(self) -> None:
        """Something for the bot to hear: without it a poll is answered after 50 s only."""
        while True:
            self._api.say(ADMIN, "good morning")
            await asyncio.sleep(1.0)

    async def break_everything(self) -> None:
        """Tasks fail, one falls behind, one blocks the loop, Telegram is away."""
        self._failing = self._behind = True
        self._block_for = 1.5
        await self._api.stop()

    async def mend_everything(self) -> None:
        await self._api.start()
        self._failing = self._behind = False
        self.site.runner.supervisor.command("stopping", Restart("test"))

    async def stop_database(self) -> None:
        await asyncio.to_thread(self._postgres.stop)

    async def start_database(self) -> None:
        await asyncio.to_thread(self._postgres.start)


async def fires(stack: Stack, alerts: set[str], *, within: float) -> dict[str, float]:
    """Wait until each of them has fired; seconds until it did. AssertionError if one does not."""
    began = time.monotonic()
    seen: dict[str, float] = {}
    while set(seen) != alerts:
        firing, took = await stack.firing(), time.monotonic() - began
        seen.update(dict.fromkeys((firing & alerts) - set(seen), took))
        assert took < stretched(within), f"not fired within {within} s: {sorted(alerts - set(seen))}"
        await asyncio.sleep(0.1)
    return seen


async def resolves(stack: Stack, alerts: set[str], *, within: float) -> dict[str, float]:
    """Wait until none of them fires; seconds until each had stopped."""
    began = time.monotonic()
    seen: dict[str, float] = {}
    while firing := await stack.firing() & alerts:
        took = time.monotonic() - began
        seen = {alert: seen.get(alert, took) for alert in alerts - firing}
        assert took < stretched(within), f"still firing after {within} s: {sorted(firing)}"
        await asyncio.sleep(0.1)
    took = time.monotonic() - began
    return {alert: seen.get(alert, took) for alert in alerts}


async def quiet(stack: Stack, seconds: float, *, within: float) -> None:
    """Wait until nothing has fired for so long. AssertionError if there is no peace `within` seconds."""
    began = last = time.monotonic()
    while (now := time.monotonic()) - last < seconds:
        firing = await stack.firing()
        last = now if firing else last
        assert now - began < stretched(within), f"no peace: {sorted(firing)}"
        await asyncio.sleep(0.1)
