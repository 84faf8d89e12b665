"""The marketplace's tests work on a database with its tables."""

from __future__ import annotations

import pytest


@pytest.fixture
def database(market_database: str) -> str:
    """DSN of a fresh, migrated database with schema `market`."""
    return market_database
