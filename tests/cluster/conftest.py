"""Databases with the tables of a cluster, and real members on them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from tests.cluster.members import Members
from tests.server import PostgresControl
from tests.templates import CLUSTER_TEMPLATE, Databases


@pytest.fixture
def cluster_database(databases: Databases) -> Iterator[str]:
    """DSN of a fresh database with PgQueuer's tables."""
    yield from databases.fresh(CLUSTER_TEMPLATE)


@pytest.fixture
def database(cluster_database: str) -> str:
    """What `pool` connects to: the database of `members`."""
    return cluster_database


@pytest.fixture
def members(cluster_database: str) -> Iterator[Members]:
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    members = Members(folder, cluster_database)
    yield members
    members.close()
    members.say()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own(postgres_control: PostgresControl) -> Iterator[Members]:
    """Members on a server that the test may stop."""
    asyncio.run(migrate(postgres_control.dsn, (CORE, QUEUE)))
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    members = Members(folder, postgres_control.dsn)
    yield members
    members.close()
    members.say()
    shutil.rmtree(folder, ignore_errors=True)
