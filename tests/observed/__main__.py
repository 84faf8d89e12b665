"""`python -m tests.observed`: five minutes of a runner under Debian's Prometheus, told as a table.

The same as the test of the suite, at leisure: between two changes nothing may fire or resolve by itself.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from pathlib import Path

from loguru import logger

from dozor.storage.postgres.migrate import migrate
from dozor.web.metrics import lag
from tests.bot.botapi.server import BotApi
from tests.observed.scenario import (
    ADMIN,
    PASSES,
    WHILE_BROKEN,
    WITHOUT_DATABASE,
    World,
    fires,
    quiet,
    resolves,
)
from tests.observed.stack import RULES, Stack, observing, quick_rules
from tests.observed.test_observed import empty_panels, panels
from tests.server import PostgresControl

CALM = 40.0
"""Seconds of peace after each change: six of them and the changes themselves are five minutes."""

FOLLOWS = frozenset({"DozorBotDeaf", "DozorAlertsUnsent"})
"""Without its database the bot takes no commands, and what is owed waits."""


async def calm(stack: Stack, expected: set[str], also: frozenset[str] = frozenset()) -> None:
    """All of `expected` fires and nothing else does, `also` apart. Raises AssertionError otherwise."""
    until = time.monotonic() + CALM
    while time.monotonic() < until:
        firing = await stack.firing()
        assert expected <= firing <= expected | also, f"expected {sorted(expected)}, fires: {sorted(firing)}"
        await asyncio.sleep(1)


def tell(what: str, times: dict[str, float]) -> None:
    for alert, seconds in sorted(times.items(), key=lambda item: item[1]):
        print(f"  {alert:<20} {what} after {seconds:5.1f} s", flush=True)


async def observe(folder: Path) -> None:
    """The whole story."""
    began = time.monotonic()
    postgres = PostgresControl(folder / "pg")
    await migrate(postgres.dsn)
    api = BotApi()
    api.world.add_user(ADMIN, "Anna")
    async with api:
        world = World(folder, postgres, api)
        rules = quick_rules(RULES.read_text())
        async with observing(folder, world.port, rules=rules, interval="1s") as stack:
            tell("fires", await fires(stack, {"DozorAbsent"}, within=30))
            async with world.runner():
                await resolves(stack, {"DozorAbsent"}, within=30)
                await world.site.becomes("/readyz", 200, within=60)
                await quiet(stack, 10.0, within=90)
                print("all is well", flush=True)
                await calm(stack, set())
                left = await empty_panels(stack, list(panels()))

                print("tasks fail, one falls behind, one blocks the loop, Telegram is away", flush=True)
                await world.break_everything()
                tell("fires", await fires(stack, WHILE_BROKEN, within=60))
                await resolves(stack, PASSES, within=60)
                left = await empty_panels(stack, left)
                firing = WHILE_BROKEN - PASSES
                await calm(stack, firing, frozenset({"DozorNotReady"}))

                print("all of it is mended", flush=True)
                await world.mend_everything()
                tell("resolves", await resolves(stack, WHILE_BROKEN | {"DozorNotReady"}, within=90))
                await calm(stack, set())
                left = await empty_panels(stack, left)
                print(f"panels without data: {[title for title, _ in left]}", flush=True)
                assert not left

                print("the database is away", flush=True)
                await world.stop_database()
                tell("fires", await fires(stack, WITHOUT_DATABASE, within=60))
                await calm(stack, WITHOUT_DATABASE, FOLLOWS)
                await world.start_database()
                tell("resolves", await resolves(stack, WITHOUT_DATABASE | FOLLOWS, within=60))
                await calm(stack, set())
            print("the runner has ended", flush=True)
            tell("fires", await fires(stack, {"DozorAbsent"}, within=60))
            await calm(stack, {"DozorAbsent"})
            async with world.runner():
                tell("resolves", await resolves(stack, {"DozorAbsent"}, within=60))
            told = sorted({(name, status) for name, _, status in stack.told.notices})
            print(f"Alertmanager told of {len(stack.told.notices)} changes: {told}", flush=True)
    postgres.stop()
    print(f"observed for {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def main() -> None:
    logger.remove()
    logging.disable()
    lag.WINDOW = 5.0
    with tempfile.TemporaryDirectory(prefix="dozor-") as folder:
        asyncio.run(observe(Path(folder)))


if __name__ == "__main__":
    main()
