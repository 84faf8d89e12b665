"""Fixtures: a stage for each test."""

from __future__ import annotations

import dozor_bot.library

# isort: split
import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import dozor_bot  # noqa: F401 -- before tests import aiogram, which it imports in less time
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import tasks
from dozor.storage.tables.tasks import TaskDeclaration
from tests.alerting.stage import NAME, Stage, hooks
from tests.alerting.story import ManualClock
from tests.shared_database import Reused


@pytest.fixture
def database(reused: Reused) -> Iterator[str]:
    """DSN of a migrated database without rows. Nothing of a test goes on when it ends."""
    with reused.one() as dsn:
        yield dsn


@pytest.fixture
async def stage(database: str, pool: Pool) -> AsyncIterator[Stage]:
    clock = ManualClock()
    direct_sends = DirectSends()
    journal = await Journal.open(database, "test", clock, hooks=hooks(direct_sends))
    await tasks.declare(
        journal.connection,
        [
            TaskDeclaration(name=n, description="", schedule="", max_consecutive_failures=5)
            for n in (NAME, "b")
        ],
    )
    stage = Stage(database, journal, clock, pool, direct_sends)
    yield stage
    stage.journal.abandon()
    await asyncio.sleep(0)
