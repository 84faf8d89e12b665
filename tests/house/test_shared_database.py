"""The database that tests are given one after the other: as if it were new, whatever the test before did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from dozor.storage.postgres.pool import Connection, connect
from tests.shared_database import Reused
from tests.templates import MARKET_TEMPLATE, Databases, execute, run

ADD_SQL = "INSERT INTO market.users (name) VALUES ('ann') RETURNING id"
COUNTS_SQL = "SELECT (SELECT count(*) FROM market.users), (SELECT count(*) FROM market.currencies)"


@pytest.fixture
def reused(databases: Databases) -> Iterator[Reused]:
    reused = Reused(databases, MARKET_TEMPLATE)
    yield reused
    reused.close()


async def _row(dsn: str, query: str) -> tuple[object, ...]:
    connection = await connect(dsn)
    try:
        return tuple(await connection.fetchrow(query) or ())
    finally:
        await connection.close()


def test_rows_and_their_numbers_are_as_in_a_new_database(reused: Reused) -> None:
    with reused.one() as first:
        before, number = run(_row(first, COUNTS_SQL)), run(_row(first, ADD_SQL))
        run(execute(first, "SET session_replication_role = replica", "DELETE FROM market.currencies"))
        assert run(_row(first, COUNTS_SQL)) != before
    with reused.one() as second:
        assert second == first
        assert run(_row(second, COUNTS_SQL)) == before
        assert run(_row(second, ADD_SQL)) == number


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE market.more (n int)",
        "ALTER TABLE dozor.tasks ADD COLUMN more int",
        "ALTER TABLE market.users DISABLE TRIGGER ALL",
        "GRANT SELECT ON dozor.tasks TO PUBLIC",
        "CREATE SCHEMA more",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "TRUNCATE dozor.tasks",
        "SELECT lo_create(0)",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 65', current_database()); END $$",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()",
    ],
)
def test_after_any_other_change_the_next_test_gets_another_database(reused: Reused, change: str) -> None:
    with reused.one() as first:
        run(execute(first, change))
    with reused.one() as second:
        assert second != first


def test_what_only_reads_or_lasts_as_long_as_a_session_changes_nothing(reused: Reused) -> None:
    with reused.one() as first:
        run(execute(first, "ANALYZE", "VACUUM", "CREATE TEMP TABLE mine AS TABLE dozor.tasks"))
    with reused.one() as second:
        assert second == first


async def _lock(dsn: str) -> Connection:
    connection = await connect(dsn)
    await connection.execute("SELECT pg_advisory_lock(7); BEGIN; LOCK TABLE dozor.tasks")
    return connection


async def _forget(connection: Connection) -> None:
    connection.terminate()
    await asyncio.sleep(0)  # its transport closes on the loop


def test_sessions_that_a_test_leaves_are_ended_with_their_locks(reused: Reused) -> None:
    with asyncio.Runner() as of_the_test:
        with reused.one() as first:
            left = of_the_test.run(_lock(first))
        with reused.one() as second:
            assert second == first
            assert run(_row(second, "SELECT pg_try_advisory_lock(7)")) == (True,)
        of_the_test.run(_forget(left))
