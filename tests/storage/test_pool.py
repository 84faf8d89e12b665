"""Connections: mistakes that need a person, values that need replacing, and nothing secret in any words."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from dozor.errors import StorageError
from dozor.storage.postgres.pool import (
    Pool,
    address,
    connect,
    connect_error_text,
    create_pool,
    refused,
    storable,
    unavailable,
)
from tests.server import PostgresControl
from tests.storage.asking import SECRET, connected, error_of


async def test_a_wrong_password_a_missing_user_or_database_need_a_person(
    postgres_control: PostgresControl,
) -> None:
    async with connected(postgres_control.dsn) as connection:
        await connection.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
        await connection.execute("CREATE DATABASE closed")
        await connection.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    postgres_control.require_passwords()
    at = postgres_control.dsn.partition("@")[2]
    cases = {
        f"postgresql://clerk:{SECRET}@{at}": "wrong user or password",
        f"postgresql://nobody:{SECRET}@{at}": "wrong user or password",
        f"postgresql://clerk:right@{at.replace('/postgres?', '/missing?')}": "no such database",
        f"postgresql://clerk:right@{at.replace('/postgres?', '/closed?')}": "lacks a right",
    }
    for dsn, expected in cases.items():
        told = await error_of(partial(connect, dsn))
        assert type(told) is StorageError, dsn
        assert expected in str(told)
        assert SECRET not in str(told)
    async with connected(f"postgresql://clerk:right@{at}") as clerk:
        assert not unavailable(await error_of(lambda: clerk.execute("CREATE TABLE dozor.scratch (id int)")))


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "sqlite:///file.db",
        f"mysql://user:{SECRET}@host/db",
        f"postgresql://user:{SECRET}/x@host/db",
        f"postgresql://user:12{SECRET}?x@host/db",
        f"postgresql://user:1234#{SECRET}@host/db",
        f"postgresql://user:{SECRET}@[::1/db",
        f"postgresql://user:{SECRET}@host:port/db",
        f"postgresql://user:{SECRET}@host:99999999/db",
        f"postgresql://user:{SECRET}@127.0.0.1/db?sslmode={SECRET}",
        f"postgresql://user:{SECRET}@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nonexistent",
        f"postgresql://user@127.0.0.1:1/db?password={SECRET}",
    ],
)
async def test_an_unusable_address_never_shows_its_password(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for make in (connect, create_pool):
        told = await error_of(partial(make, dsn, timeout=2))
        assert isinstance(told, StorageError)
        shown = [str(told), repr(told)]
        link: BaseException | None = told
        while link is not None:  # what a traceback would print
            shown.append(str(link))
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        assert SECRET not in " ".join(shown) + caplog.text
        assert "\n" not in str(told)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT nothing FROM nowhere",
        "SELEC",
        "SELECT 1/0",
        "INSERT INTO dozor.tasks (name, state, updated_at) VALUES ('a', 'dreaming', now())",
        "INSERT INTO dozor.tasks (name) VALUES ('a')",
        "DO $$ BEGIN RAISE 'no'; END $$",
    ],
)
async def test_mistakes_of_ours_do_not_mean_away(pool: Pool, statement: str) -> None:
    assert not unavailable(await error_of(lambda: pool.execute(statement)))


@pytest.mark.parametrize(
    ("statement", "value", "expected"),
    [
        ("SELECT $1::text", "a\0b", True),
        ("SELECT $1::text", "\ud83e", True),
        ("SELECT $1::text", 17, True),
        ("SELECT $1::int", 2**40, True),
        ("SELECT $1::text::int", "x", True),
        ("SELECT $1::jsonb", float("nan"), True),
        ("SELECT $1::jsonb", object(), True),
        ("INSERT INTO dozor.tasks (name, state, updated_at) VALUES ('a', $1, now())", "dreaming", True),
        ("INSERT INTO dozor.tasks (name, state, updated_at) VALUES ('a', 'held', $1)", None, True),
        ("WITH x AS (SELECT $1::text) SELECT nothing FROM nowhere", "", False),
    ],
)
async def test_values_that_can_never_be_stored_are_told_from_troubles_that_may_pass(
    pool: Pool, statement: str, value: object, expected: bool
) -> None:
    error = await error_of(lambda: pool.fetch(statement, value))
    assert refused(error) is expected
    assert not unavailable(error)


async def test_a_cancelled_statement_is_neither_away_nor_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 10")
        error = await error_of(lambda: connection.execute("SELECT pg_sleep(60)"))
    assert not refused(error)
    assert not unavailable(error)


async def test_an_index_entry_that_is_too_long_can_never_be_stored(pool: Pool) -> None:
    name = "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(6000))
    statement = "INSERT INTO dozor.tasks (name, state, updated_at) VALUES ($1, 'held', now())"
    assert refused(await error_of(lambda: pool.execute(statement, name)))


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), StorageError("wrong password"), asyncpg.DeadlockDetectedError("x"), KeyError("x")],
)
def test_troubles_that_may_pass_refuse_no_values(error: Exception) -> None:
    assert not refused(error)


async def test_misuse_of_a_connection_does_not_mean_away(database: str, pool: Pool) -> None:
    async with connected(database) as connection:
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        assert not unavailable(await error_of(lambda: connection.execute("SELECT 1")))
        sleeping.cancel()
        await asyncio.wait([sleeping])
    assert not unavailable(await error_of(lambda: pool.fetchval("SELECT $1::int", "text")))


@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), SystemExit(), PermissionError()])
def test_other_errors_do_not_mean_away(error: BaseException) -> None:
    assert not unavailable(error)


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, None, True], "имя": "ёж 🦔"}, [], "text", 12345678901234567890, None],
)
async def test_json_comes_back_as_it_went(pool: Pool, value: object) -> None:
    assert await pool.fetchval("SELECT $1::jsonb", value) == value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("\\u0000", "\\u0000"),
        ("\\\0", "\\\ufffd"),
        ("lone \ud83e surrogate", "lone \ufffd surrogate"),
        ("pair 🦔", "pair 🦔"),
    ],
)
async def test_what_postgresql_cannot_store_is_replaced(pool: Pool, value: str, stored: str) -> None:
    assert await pool.fetchval("SELECT $1::jsonb", {value: [value]}) == {stored: [stored]}
    assert await pool.fetchval("SELECT $1::text", storable(value)) == stored


async def test_connections_carry_the_given_name_and_utc(database: str) -> None:
    connection = await connect(database, application_name="dozor 17")
    assert await connection.fetchval("SHOW application_name") == "dozor 17"
    assert await connection.fetchval("SHOW timezone") == "UTC"
    await connection.close()


async def test_without_the_statement_cache_nothing_stays_prepared(database: str) -> None:
    connection = await connect(database, statement_cache=False)
    assert await connection.fetchval("SELECT $1::int + 1", 1) == 2
    assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
    assert await connection.fetchval("SELECT $1::jsonb", {"a": 1}) == {"a": 1}
    await connection.close()


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (f"postgresql://user:{SECRET}@db.example:6432/app", "db.example:6432"),
        (f"postgresql://user:{SECRET}@db.example/app", "db.example:5432"),
        ("postgresql://postgres@/postgres?host=/var/run&port=5432", "/var/run"),
        (f"postgresql://user:12/{SECRET}@db.example/app", "database.url"),
        ("nonsense", "database.url"),
        ("postgresql://[::1/x", "database.url"),
    ],
)
def test_an_address_for_people_has_no_secrets(dsn: str, shown: str) -> None:
    assert address(dsn) == shown


def test_an_error_without_words_of_its_own_is_still_explained(tmp_path: Path) -> None:
    assert "is the server reachable" in connect_error_text(TimeoutError())
    assert connect_error_text(StorageError("as it is")) == "as it is"
    assert "DiskFullError" in connect_error_text(asyncpg.DiskFullError("no space"))
