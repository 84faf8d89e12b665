"""A database that is lent again is as new; one with another schema is not lent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dozor.storage.postgres.pool import connect, disconnect
from tests.lending import Lender
from tests.templates import CORE_TEMPLATE, execute, run


@pytest.fixture
def own(postgres: str) -> Iterator[Lender]:
    lender = Lender(postgres, CORE_TEMPLATE)
    yield lender
    lender.close()


async def state(dsn: str) -> list[object]:
    connection = await connect(dsn)
    try:
        return [
            await connection.fetchval("SELECT count(*) FROM dozor.destinations"),
            await connection.fetchval(
                "SELECT last_value FROM pg_sequences WHERE sequencename = 'runners_id_seq'"
            ),
            [
                tuple(row)
                for row in await connection.fetch("SELECT * FROM dozor.schema_migrations ORDER BY 1")
            ],
            [tuple(row) for row in await connection.fetch("SELECT * FROM dozor.lease")],
        ]
    finally:
        await disconnect(connection)


def lend(lender: Lender, *statements: str) -> tuple[str, list[object]]:
    """A database for `statements`: its DSN, and what was in it before them."""
    lending = lender.lend()
    dsn = next(lending)
    found = run(state(dsn))
    run(execute(dsn, *statements))
    assert next(lending, None) is None
    return dsn, found


def test_rows_and_sequences_are_as_in_a_new_one(own: Lender) -> None:
    first = lend(
        own,
        "SELECT nextval('dozor.runners_id_seq'), nextval('dozor.runners_id_seq')",
        "DELETE FROM dozor.lease",
        "DELETE FROM dozor.schema_migrations",
        "INSERT INTO dozor.destinations (key, chat_id) VALUES ('', 1)",
    )
    assert first[1][0] == 0
    assert first[1][3] != []
    assert lend(own) == first


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE dozor.more ()",
        "ALTER TABLE dozor.lease ADD COLUMN more integer",
        "DROP TABLE dozor.used_codes",
        "CREATE INDEX ON dozor.lease ((1))",
        "GRANT SELECT ON dozor.lease TO PUBLIC",
        "TRUNCATE dozor.used_codes",
    ],
)
def test_one_with_another_schema_is_not_lent_again(own: Lender, change: str) -> None:
    dsn, found = lend(own, change)
    other, again = lend(own)
    assert other != dsn
    assert again == found
