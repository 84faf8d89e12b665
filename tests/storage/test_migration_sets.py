"""Sets of migrations: which a configuration needs, and taking over what version 0.1 recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dozor.config import load
from dozor.errors import SchemaError, StorageError
from dozor.storage.postgres import migration_sets as module
from dozor.storage.postgres.migrate import Migrated, SchemaReport, check, migrate
from dozor.storage.postgres.migration_sets import (
    CORE,
    FORMERLY_CORE,
    Migration,
    MigrationSet,
    sets_for,
    sets_named,
)
from dozor.storage.postgres.pool import Connection, connect, disconnect
from dozor.storage.tables.runners import LOCK_KEY
from dozor_market.schema import MIGRATIONS as MARKET
from tests import version_0_1
from tests.templates import Databases, execute, run, with_database

BOTH = (CORE, MARKET)
OLD = tuple(f"market/{name}" for name in FORMERLY_CORE)
LATER_CORE = Migration(98, "0098_later.sql", "ALTER TABLE dozor.people ADD COLUMN later integer;")
LATER_MARKET = Migration(99, "0099_later.sql", "ALTER TABLE market.users ADD COLUMN later integer;")
LATER = (
    replace(CORE, files=(*CORE.load(), LATER_CORE)),
    replace(MARKET, files=(*MARKET.load(), LATER_MARKET)),
)
"""As a later version will have them."""
ROWS = (
    "SELECT number, name, checksum, applied_at FROM {}.schema_migrations WHERE name = ANY($1) ORDER BY number"
)


@pytest.fixture(scope="session")
def old_template(postgres: str) -> str:
    """The name of a database as version 0.1 leaves it."""
    name = "version_0_1_template"
    run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE template0"))
    run(version_0_1.build(with_database(postgres, name)))
    return name


@pytest.fixture
def old_database(databases: Databases, old_template: str) -> Iterator[str]:
    """DSN of a database that version 0.1 has migrated."""
    yield from databases.fresh(old_template)


@pytest.fixture
async def old_connection(old_database: str) -> AsyncIterator[Connection]:
    connection = await connect(old_database, statement_cache=False)
    yield connection
    await disconnect(connection)


@pytest.fixture
async def connection(empty_database: str) -> AsyncIterator[Connection]:
    connection = await connect(empty_database, statement_cache=False)
    yield connection
    await disconnect(connection)


async def rows_of(connection: Connection, schema: str) -> list[tuple[object, ...]]:
    """The rows of the marketplace's files of version 0.1."""
    return [tuple(row) for row in await connection.fetch(ROWS.format(schema), list(FORMERLY_CORE))]


# -- which sets


def config_with(tmp_path: Path, *tasks: str) -> Path:
    path = tmp_path / "config.yaml"
    lines = "".join(f"  task{number}: {task}\n" for number, task in enumerate(tasks))
    path.write_text(f"tasks:\n{lines}")
    return path


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["{run: 'shop.checks:f'}"], (CORE,)),
        (["{run: 'shop.checks:f'}", "{run: 'dozor_market.auctions:check_auctions'}"], BOTH),
        (["{run: 'dozor_market.auctions:check_auctions', enabled: false}"], BOTH),
        (["{run: 'dozor_market.a:f'}", "{run: 'dozor_market.b:f'}"], BOTH),
        (["{run: 'dozor_market_of_mine.checks:f'}", "{run: 'my.dozor_market:f'}"], (CORE,)),
    ],
)
def test_a_package_counts_where_a_task_uses_it(
    tmp_path: Path, tasks: list[str], expected: tuple[MigrationSet, ...]
) -> None:
    assert sets_for(load(config_with(tmp_path, *tasks))) == expected


def test_a_set_is_found_by_the_name_of_its_schema() -> None:
    assert sets_named(["market", "market", "dozor"]) == (MARKET, CORE)
    with pytest.raises(SchemaError, match="of a schema shop; known: dozor, dozor_queue, market"):
        sets_named(["shop"])


@pytest.mark.parametrize(
    "value", ["dozor_market.nowhere:X", "dozor_market.schema:NOTHING", "dozor.errors:Fatal"]
)
def test_a_declaration_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    broken = EntryPoint("shop", value, module.GROUP)
    monkeypatch.setattr(module, "entry_points", lambda group: [broken])
    with pytest.raises(SchemaError, match=f"shop.*{value}|{value}.*shop"):
        sets_for(load(config_with(tmp_path, "{run: 'shop.checks:f'}")))
    assert sets_for(load(config_with(tmp_path, "{run: 'other:f'}"))) == (CORE,)


@pytest.mark.parametrize("name", ["", "Market", "mar ket", "x; DROP TABLE y", "1st"])
def test_a_schema_name_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        MigrationSet(name, "shop")


def test_files_of_version_0_1_are_unchanged_and_their_numbers_are_not_given_again() -> None:
    assert {file.name: file.checksum for file in version_0_1.files()} == version_0_1.CHECKSUMS
    assert tuple(file.name for file in MARKET.load())[: len(FORMERLY_CORE)] == FORMERLY_CORE
    numbers = [file.number for file in version_0_1.files()]
    others = [file for one in BOTH for file in one.load() if file.name not in version_0_1.CHECKSUMS]
    assert all(file.number > max(numbers) for file in others)


# -- a new database


async def test_without_a_task_of_the_marketplace_there_is_no_schema_market(
    empty_database: str, connection: Connection
) -> None:
    await migrate(empty_database)
    assert await connection.fetchval("SELECT to_regnamespace('market')") is None
    assert (await check(empty_database)).up_to_date
    assert (await check(empty_database, BOTH)).pending[:4] == OLD


async def test_the_marketplace_is_added_later_and_version_0_1_accepts_the_database_then(
    empty_database: str, connection: Connection
) -> None:
    await migrate(empty_database)
    assert (await version_0_1.judged(connection)).late == FORMERLY_CORE
    done = await migrate(empty_database, BOTH)
    assert (done.applied[:4], done.taken_over) == (OLD, ())
    assert (await check(empty_database, BOTH)).up_to_date
    assert (await check(empty_database)).up_to_date
    assert await version_0_1.judged(connection) == SchemaReport()


# -- a database of version 0.1


async def test_applied_files_are_taken_over_with_numbers_checksums_and_times(
    old_database: str, old_connection: Connection
) -> None:
    before = await rows_of(old_connection, "dozor")
    assert (await check(old_database, BOTH)).inherited == OLD
    done = await migrate(old_database, BOTH)
    assert done.taken_over == OLD
    assert not set(done.applied) & set(OLD)
    assert await rows_of(old_connection, "market") == await rows_of(old_connection, "dozor") == before
    assert (await check(old_database, BOTH)).up_to_date
    assert await migrate(old_database, BOTH) == Migrated()
    assert await version_0_1.judged(old_connection) == SchemaReport()


async def test_without_a_task_of_the_marketplace_its_tables_stay_and_nothing_is_refused(
    old_database: str, old_connection: Connection
) -> None:
    await old_connection.execute("INSERT INTO market.users (name) VALUES ('ann')")
    await migrate(old_database)
    assert (await check(old_database)).up_to_date
    assert await old_connection.fetchval("SELECT name FROM market.users") == "ann"
    assert await old_connection.fetchval("SELECT to_regclass('market.schema_migrations')") is None
    assert await version_0_1.judged(old_connection) == SchemaReport()


@pytest.mark.parametrize("last", [1, 10, 12, 13, 14])
async def test_a_database_that_version_0_1_had_not_finished_is_finished(
    empty_database: str, connection: Connection, last: int
) -> None:
    await version_0_1.build(empty_database, last=last)
    done = await migrate(empty_database, BOTH)
    assert set(done.taken_over) == {
        f"market/{f.name}" for f in version_0_1.files() if f.number <= last
    } & set(OLD)
    assert (await check(empty_database, BOTH)).up_to_date
    assert await version_0_1.judged(connection) == SchemaReport()


async def test_version_0_1_goes_on_with_what_it_had_not_finished_after_a_take_over(
    empty_database: str, connection: Connection
) -> None:
    """0.1's own `migrate` may still run when ours has taken over: what it adds is taken over as well."""
    await version_0_1.build(empty_database, last=11)
    only_old = replace(MARKET, files=MARKET.load()[:2])
    assert (await migrate(empty_database, (only_old,))).taken_over == OLD[:2]
    presales = next(file for file in version_0_1.files() if file.number == 13)
    await connection.execute(presales.sql)
    await connection.execute(
        "INSERT INTO dozor.schema_migrations VALUES ($1, $2, $3)", 13, presales.name, presales.checksum
    )
    done = await migrate(empty_database, BOTH)
    assert done.taken_over == (OLD[2],)
    assert OLD[3] in done.applied
    assert await version_0_1.judged(connection) == SchemaReport()


async def test_later_files_of_both_sets_are_applied_and_version_0_1_still_accepts_the_database(
    old_database: str, old_connection: Connection
) -> None:
    done = await migrate(old_database, LATER)
    assert {"0098_later.sql", "market/0099_later.sql"} <= set(done.applied)
    assert (await check(old_database, LATER)).up_to_date
    assert await migrate(old_database, LATER) == Migrated()
    assert await version_0_1.judged(old_connection) == SchemaReport()


async def test_this_version_goes_on_with_what_a_later_one_has_added(empty_database: str) -> None:
    await migrate(empty_database, LATER)
    report = await check(empty_database, BOTH)
    assert report.ahead == ("0098_later.sql", "market/0099_later.sql")
    assert report.up_to_date
    assert await migrate(empty_database, BOTH) == Migrated()


async def test_five_upgraders_at_once_take_over_once(empty_database: str, connection: Connection) -> None:
    await version_0_1.build(empty_database, last=11)
    done = await asyncio.gather(*(migrate(empty_database, LATER) for _ in range(5)))
    assert sorted(name for each in done for name in each.taken_over) == sorted(OLD[:2])
    names = [name for each in done for name in each.applied]
    assert len(names) == len(set(names))
    assert {"0098_later.sql", "market/0099_later.sql", *OLD[2:]} <= set(names)
    assert await version_0_1.judged(connection) == SchemaReport()


async def test_a_runner_on_watch_does_not_hold_up_the_migration(
    old_database: str, old_connection: Connection
) -> None:
    await old_connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    async with asyncio.timeout(20):
        assert (await migrate(old_database, LATER)).taken_over == OLD


async def test_a_take_over_that_is_killed_in_the_middle_has_done_nothing_and_is_repeated(
    old_database: str, old_connection: Connection
) -> None:
    before = await check(old_database, BOTH)
    blocker = await connect(old_database)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("CREATE TABLE market.schema_migrations (number integer)")  # the name, uncommitted
    work = asyncio.create_task(migrate(old_database, (MARKET,)))
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        while (pid := await old_connection.fetchval(waiting)) is None:
            pass
    await old_connection.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(StorageError, match="the connection broke"):
        await work
    await transaction.rollback()
    await disconnect(blocker)
    assert await check(old_database, BOTH) == before
    assert await old_connection.fetchval("SELECT to_regclass('market.schema_migrations')") is None
    assert (await migrate(old_database, BOTH)).taken_over == OLD


async def test_an_edited_file_is_refused_before_and_after_the_take_over(old_database: str) -> None:
    first, *rest = MARKET.load()
    edited = replace(MARKET, files=(replace(first, sql=first.sql + "-- a remark\n"), *rest))
    for _ in range(2):
        with pytest.raises(SchemaError, match=r"market/0010_market\.sql changed after it was applied"):
            await migrate(old_database, (CORE, edited))
        await migrate(old_database, BOTH)


async def test_a_role_that_only_reads_may_check_and_is_told_what_it_lacks(
    old_database: str, old_connection: Connection
) -> None:
    await old_connection.execute(
        "DROP ROLE IF EXISTS reader_of_migrations; CREATE ROLE reader_of_migrations LOGIN"
    )
    await old_connection.execute("GRANT USAGE ON SCHEMA dozor, market TO reader_of_migrations")
    await old_connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA dozor, market TO reader_of_migrations")
    dsn = old_database.replace("//postgres@", "//reader_of_migrations@")
    try:
        assert (await check(dsn, BOTH)).inherited == OLD
        with pytest.raises(StorageError, match="lacks a right"):
            await migrate(dsn, BOTH)
        await migrate(old_database, BOTH)
        with pytest.raises(StorageError, match="lacks a right"):
            await check(dsn, BOTH)
        await old_connection.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA dozor, market TO reader_of_migrations"
        )
        assert (await check(dsn, BOTH)).up_to_date
        assert await migrate(dsn, BOTH) == Migrated()
    finally:
        await old_connection.execute("DROP OWNED BY reader_of_migrations; DROP ROLE reader_of_migrations")
