"""kill -9 of the runner loses no alert, no streak and no state."""

from __future__ import annotations

import random

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.effort import cases
from tests.system.kill_campaign import Campaign
from tests.system.stage import Stage


async def test_every_alert_arrives_whenever_the_runner_is_killed_and_only_marked_ones_twice(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    seed = random.randrange(10**6)
    report = await Campaign(stage, telegram, pool, database, kills=cases(4, 8), seed=seed).run()
    assert not report.wrong, str(report)
