"""Databases with the tables of a cluster, and real members on them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from tests.cluster.members import Members
from tests.conftest import _execute, _fresh_database, _run, _with_database


@pytest.fixture(scope="session")
def cluster_template(postgres: str, template: str) -> str:
    """Name of a migrated database with PgQueuer's tables. Nobody may be connected to it."""
    _run(_execute(postgres, f"CREATE DATABASE dozor_cluster_template TEMPLATE {template}"))
    _run(migrate(_with_database(postgres, "dozor_cluster_template"), (CORE, QUEUE)))
    return "dozor_cluster_template"


@pytest.fixture
def cluster_database(postgres: str, cluster_template: str) -> Iterator[str]:
    """DSN of a fresh database with PgQueuer's tables."""
    yield from _fresh_database(postgres, cluster_template)


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
