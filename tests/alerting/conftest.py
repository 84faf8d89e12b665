"""Fixtures: a stage for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import tasks
from dozor.storage.tables.tasks import TaskDeclaration
from tests.alerting.stage import NAME, Stage, hooks
from tests.alerting.story import ManualClock
from tests.lending import Lender
from tests.templates import CORE_TEMPLATE


@pytest.fixture(scope="session")
def lender(postgres: str) -> Iterator[Lender]:
    lender = Lender(postgres, CORE_TEMPLATE)
    yield lender
    lender.close()


@pytest.fixture
def database(lender: Lender) -> Iterator[str]:
    """DSN of a migrated database without rows. Nothing of a test goes on when it ends."""
    yield from lender.lend()


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
