"""Migrations: once each, in order, whole or not at all, whoever else migrates meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dozor.errors import DatabaseUnavailableError, SchemaError, StorageError
from dozor.storage.postgres import migrate as module
from dozor.storage.postgres.migrate import Applied, Migrated, SchemaReport, check, compare, migrate
from dozor.storage.postgres.migration_sets import CORE, Migration, MigrationSet
from dozor.storage.postgres.pool import Connection, connect, disconnect
from tests.server import PostgresControl

ONE = Migration(1, "0001_one.sql", "CREATE TABLE dozor.one (id int);\nINSERT INTO dozor.one VALUES (1);\n")
TWO = Migration(10, "0010_two.sql", "CREATE SCHEMA market; CREATE TABLE market.two (id int);")
BROKEN = Migration(
    11,
    "0011_broken.sql",
    "-- The first statement is fine.\nCREATE TABLE dozor.three (id int);\nSELECT 1 FROM dozor.nowhere;\n",
)


DROPS = Migration(12, "0012_drops.post.sql", "DROP TABLE dozor.one")


async def nobody(_: Connection) -> list[str]:
    return []


async def two_others(_: Connection) -> list[str]:
    return ["web-1", "web-2"]


def core(*files: Migration) -> list[MigrationSet]:
    """The core's set with these files."""
    return [replace(CORE, files=files)]


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[Connection]:
    connection = await connect(empty_database)
    yield connection
    await disconnect(connection)


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('dozor', 'market')"
    )
    return {row[0] for row in rows}


async def test_files_are_applied_in_order_of_their_numbers_and_once(
    empty_database: str, connection: Connection
) -> None:
    assert (await migrate(empty_database, core(ONE, TWO))).applied == (
        "0001_one.sql",
        "0010_two.sql",
    )
    assert (await migrate(empty_database, core(ONE, TWO))).applied == ()
    assert await connection.fetchval("SELECT count(*) FROM dozor.one") == 1
    rows = await connection.fetch(
        "SELECT number, name, checksum FROM dozor.schema_migrations ORDER BY number"
    )
    assert [tuple(row) for row in rows] == [(m.number, m.name, m.checksum) for m in (ONE, TWO)]


async def test_a_later_file_is_applied_to_a_database_in_use(empty_database: str) -> None:
    assert (await migrate(empty_database, core(ONE))).applied == ("0001_one.sql",)
    assert (await check(empty_database, core(ONE, TWO))).pending == ("0010_two.sql",)
    assert (await migrate(empty_database, core(ONE, TWO))).applied == ("0010_two.sql",)
    assert (await check(empty_database, core(ONE, TWO))).up_to_date


async def test_check_changes_nothing(empty_database: str, connection: Connection) -> None:
    assert (await check(empty_database, core(ONE, TWO))).pending == ("0001_one.sql", "0010_two.sql")
    assert await connection.fetchval("SELECT to_regnamespace('dozor')") is None


async def test_five_migrators_at_once_apply_each_file_once(
    empty_database: str, connection: Connection
) -> None:
    slow = [
        Migration(n, f"{n:04}_slow.sql", f"SELECT pg_sleep(0.05); CREATE TABLE dozor.t{n} (id int)")
        for n in range(1, 6)
    ]
    done = await asyncio.gather(*(migrate(empty_database, core(*slow)) for _ in range(5)))
    assert sorted(name for each in done for name in each.applied) == [m.name for m in slow]
    assert await connection.fetchval("SELECT count(*) FROM dozor.schema_migrations") == 5


async def test_a_failing_file_is_rolled_back_entirely_and_named_with_its_place(
    empty_database: str, connection: Connection
) -> None:
    with pytest.raises(SchemaError) as caught:
        await migrate(empty_database, core(ONE, BROKEN))
    assert "0011_broken.sql:3:15" in str(caught.value)
    assert "dozor.nowhere" in str(caught.value)
    assert await tables(connection) == {"dozor.one", "dozor.schema_migrations"}
    assert (await check(empty_database, core(ONE, BROKEN))).pending == ("0011_broken.sql",)
    mended = Migration(11, "0011_broken.sql", "CREATE TABLE dozor.three (id int);")
    assert (await migrate(empty_database, core(ONE, mended))).applied == ("0011_broken.sql",)


async def test_an_error_without_a_place_still_names_the_file(empty_database: str) -> None:
    twice = Migration(2, "0002_twice.sql", "CREATE TABLE dozor.one (id int);")
    with pytest.raises(SchemaError, match=r'migration 0002_twice\.sql: relation "one" already exists'):
        await migrate(empty_database, core(ONE, twice))


async def test_a_file_that_ends_its_own_transaction_is_refused(empty_database: str) -> None:
    with pytest.raises(SchemaError, match="COMMIT"):
        await migrate(empty_database, core(Migration(1, "0001_sly.sql", "SELECT 1; COMMIT;")))


async def test_an_edited_file_is_refused_and_nothing_is_applied(
    empty_database: str, connection: Connection
) -> None:
    await migrate(empty_database, core(ONE))
    edited = Migration(1, "0001_one.sql", ONE.sql + "-- a remark\n")
    assert (await check(empty_database, core(edited, TWO))).edited == ("0001_one.sql",)
    with pytest.raises(SchemaError, match=r"0001_one\.sql changed after it was applied"):
        await migrate(empty_database, core(edited, TWO))
    assert "market.two" not in await tables(connection)


async def test_an_older_program_goes_on_with_files_that_only_add(empty_database: str) -> None:
    await migrate(empty_database, core(ONE, TWO))
    report = await check(empty_database, core(ONE))
    assert report == SchemaReport(ahead=("0010_two.sql",))
    assert report.up_to_date
    assert await migrate(empty_database, core(ONE)) == Migrated()


async def test_a_schema_that_lacks_what_an_older_program_needs_is_refused_by_it(empty_database: str) -> None:
    await migrate(empty_database, core(ONE, DROPS))
    assert (await check(empty_database, core(ONE))).newer == ("0012_drops.post.sql",)
    with pytest.raises(SchemaError, match="upgrade dozor"):
        await migrate(empty_database, core(ONE))


async def test_what_an_older_program_cannot_bear_is_applied_on_request_only(
    empty_database: str, connection: Connection
) -> None:
    later = Migration(13, "0013_later.sql", "CREATE TABLE dozor.later (id int)")
    await migrate(empty_database, core(ONE))
    assert await check(empty_database, core(ONE, DROPS, later)) == SchemaReport(
        pending=("0013_later.sql",), post=("0012_drops.post.sql",)
    )
    assert (await migrate(empty_database, core(ONE, DROPS, later))).applied == ("0013_later.sql",)
    report = await check(empty_database, core(ONE, DROPS, later))
    assert report == SchemaReport(post=("0012_drops.post.sql",))
    assert report.up_to_date
    assert "dozor.one" in await tables(connection)
    done = await migrate(empty_database, core(ONE, DROPS, later), post=nobody)
    assert done.applied == ("0012_drops.post.sql",)
    assert "dozor.one" not in await tables(connection)
    assert await check(empty_database, core(ONE, DROPS, later)) == SchemaReport()


async def test_with_an_older_program_at_work_nothing_at_all_is_applied(
    empty_database: str, connection: Connection
) -> None:
    await migrate(empty_database, core(ONE))
    with pytest.raises(SchemaError, match=r"0012_drops\.post\.sql: an older .* web-1, web-2\. Upgrade"):
        await migrate(empty_database, core(ONE, TWO, DROPS), post=two_others)
    assert await tables(connection) == {"dozor.one", "dozor.schema_migrations"}


async def test_an_older_program_that_comes_meanwhile_is_noticed_before_the_file(
    empty_database: str, connection: Connection
) -> None:
    asked = 0

    async def comes(_: Connection) -> list[str]:
        nonlocal asked
        asked += 1
        return [] if asked == 1 else ["web-1"]

    await migrate(empty_database, core(ONE))
    with pytest.raises(SchemaError, match="web-1"):
        await migrate(empty_database, core(ONE, TWO, DROPS), post=comes)
    assert await tables(connection) == {"dozor.one", "market.two", "dozor.schema_migrations"}


@pytest.mark.parametrize(
    ("applied", "files", "expected"),
    [
        ([], [], SchemaReport()),
        ([1, 10], [1, 10], SchemaReport()),
        ([], [1, 10], SchemaReport(pending=("0001", "0010"))),
        ([1], [1, 10], SchemaReport(pending=("0010",))),
        ([1, 10], [1], SchemaReport(ahead=("0010",))),
        ([1, 5, 10], [1, 10], SchemaReport(missing=("0005",))),
        ([1, 10], [1, 5, 10], SchemaReport(late=("0005",))),
        ([1, 10], [], SchemaReport(ahead=("0001", "0010"))),
    ],
)
def test_files_and_rows_are_compared(applied: list[int], files: list[int], expected: SchemaReport) -> None:
    migrations = [Migration(number, f"{number:04}", "") for number in files]
    rows = [Applied(number, f"{number:04}", Migration(0, "", "").checksum) for number in applied]
    assert compare(migrations, rows) == expected


@pytest.mark.parametrize("field", ["newer", "missing", "late", "edited"])
def test_every_reason_to_refuse_is_told_with_the_file(field: str) -> None:
    report = SchemaReport(**{field: ("0007_x.sql",)})
    assert report.refusal is not None
    assert "0007_x.sql" in report.refusal
    assert not report.up_to_date


def test_pending_files_are_no_reason_to_refuse() -> None:
    assert SchemaReport(pending=("0007_x.sql",)).refusal is None


async def test_without_the_right_to_create_the_right_is_named(
    empty_database: str, connection: Connection
) -> None:
    await connection.execute("DROP ROLE IF EXISTS visitor_of_migrate; CREATE ROLE visitor_of_migrate LOGIN")
    dsn = empty_database.replace("//postgres@", "//visitor_of_migrate@")
    with pytest.raises(StorageError) as caught:
        await migrate(dsn, core(ONE))
    assert "the user lacks a right" in str(caught.value)
    await connection.execute("DROP ROLE visitor_of_migrate")


async def test_a_server_that_is_away_is_told_as_away(shared_control: PostgresControl) -> None:
    await asyncio.to_thread(shared_control.stop)
    for work in (migrate, check):
        with pytest.raises(DatabaseUnavailableError):
            await work(shared_control.dsn)


async def test_a_server_that_goes_away_meanwhile_leaves_nothing_behind(
    shared_control: PostgresControl,
) -> None:
    before = await check(shared_control.dsn)
    slow = Migration(9999, "9999_slow.sql", "CREATE TABLE dozor.slow (id int); SELECT pg_sleep(60);")
    work = asyncio.create_task(migrate(shared_control.dsn, core(*CORE.load(), slow)))
    watcher = await connect(shared_control.dsn)
    async with asyncio.timeout(10):
        while not await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ):
            pass
    await asyncio.to_thread(shared_control.restart)
    with pytest.raises(DatabaseUnavailableError):
        await work
    assert before == await check(shared_control.dsn)
    await disconnect(watcher)


async def test_a_lock_held_by_another_program_is_not_waited_for_for_ever(
    empty_database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_SQL", "SET LOCAL lock_timeout = '50ms'")
    await connection.execute("SELECT pg_advisory_lock($1)", CORE.locks[0])
    with pytest.raises(StorageError, match="held a lock"):
        await migrate(empty_database, core(ONE))
    await connection.execute("SELECT pg_advisory_unlock($1)", CORE.locks[0])
    assert (await migrate(empty_database, core(ONE))).applied == ("0001_one.sql",)


async def test_the_shipped_files_migrate_an_empty_database(empty_database: str) -> None:
    names = tuple(migration.name for migration in CORE.load())
    assert names[0] == "0001_runner.sql"
    assert await migrate(empty_database) == Migrated(applied=names)
    assert (await check(empty_database)).up_to_date
