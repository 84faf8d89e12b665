"""Databases with the tables of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from tests.conftest import _execute, _fresh_database, _run, _with_database


@pytest.fixture(scope="session")
def cluster_template(postgres: str, template: str) -> str:
    _run(_execute(postgres, f"CREATE DATABASE dozor_cluster_template TEMPLATE {template}"))
    _run(migrate(_with_database(postgres, "dozor_cluster_template"), (CORE, QUEUE)))
    return "dozor_cluster_template"


@pytest.fixture
def cluster_database(postgres: str, cluster_template: str) -> Iterator[str]:
    """DSN of a fresh database with PgQueuer's tables."""
    yield from _fresh_database(postgres, cluster_template)
