"""Data directories for tests of the embedded server, and a journal on a database of the test's own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dozor.clock import SteadyClock
from dozor.storage.journal import Journal
from dozor.storage.postgres.embedded import postmaster
from dozor.storage.postgres.pool import Pool
from tests.server import PostgresControl
from tests.shared_database import Reused
from tests.storage.rows import declare
from tests.templates import Templates


@pytest.fixture
def data_dir(short_dir: Path, templates: Templates) -> Iterator[Path]:
    """A stopped data directory of the test's own; whatever the test leaves running is stopped."""
    path = Path(tempfile.mkdtemp(dir=short_dir)) / "pg"
    templates.copy_plain(path)
    yield path
    if (path / "data").exists() and (path / "data" / "PG_VERSION").exists():
        postmaster.stop(path / "data")


@pytest.fixture
def new_dir(short_dir: Path) -> Iterator[Path]:
    """A path that does not exist yet."""
    path = Path(tempfile.mkdtemp(dir=short_dir)) / "pg"
    yield path
    if (path / "data").exists():
        postmaster.stop(path / "data")


@pytest.fixture
def database(reused: Reused) -> Iterator[str]:
    """DSN of a migrated database as if it were new, without schema `market`."""
    with reused.one() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def server_of_many(templates: Templates, short_dir: Path) -> Iterator[PostgresControl]:
    path = short_dir / "of-many"
    templates.copy_migrated(path)
    control = PostgresControl(path)
    yield control
    control.stop()


@pytest.fixture
def shared_control(server_of_many: PostgresControl) -> Iterator[PostgresControl]:
    """As `postgres_control`, for tests that change neither rows nor settings: it runs when a test begins."""
    server_of_many.start()
    yield server_of_many
    server_of_many.thaw()


@pytest.fixture
async def journal(database: str, pool: Pool) -> AsyncIterator[Journal]:
    journal = await Journal.open(database, "test", SteadyClock(), checkpoint_every=0.05)
    await declare(journal, "a", "b")
    yield journal
    journal.abandon()
    await asyncio.sleep(0)  # its transport closes on the loop
