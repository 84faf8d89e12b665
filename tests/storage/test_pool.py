"""Connections, and what their errors mean: every error here comes from a real server or a real socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from runner.errors import DatabaseUnavailableError, StorageError
from runner.storage.pool import (
    Connection,
    Pool,
    address,
    connect,
    connect_error_text,
    create_pool,
    disconnect,
    storable,
    unavailable,
)
from tests.server import PostgresControl

SECRET = "s3cr3t-pa55"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await connect(dsn)
    try:
        yield connection
    finally:
        await disconnect(connection)


async def error_of(work: Callable[[], Awaitable[object]]) -> Exception:
    """What it raises, be it at the call or at the wait: the driver does both."""
    with pytest.raises(Exception) as caught:
        async with asyncio.timeout(20):
            await work()
    return caught.value


# --- away for now ---------------------------------------------------------------------------------


async def test_a_terminated_backend_means_away_and_the_pool_mends_itself(database: str, pool: Pool) -> None:
    async with connected(database) as other, pool.acquire() as connection:
        await other.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        assert unavailable(await error_of(lambda: connection.fetchval("SELECT 1")))
        assert unavailable(await error_of(lambda: connection.fetchval("SELECT 1")))
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_backend_terminated_at_any_moment_means_away(database: str) -> None:
    # The driver has half a dozen ways of saying so, by how far the farewell had got.
    pool = await create_pool(database, min_size=1, max_size=1)
    async with connected(database) as other:
        for attempt in range(200):
            try:
                async with pool.acquire() as connection:
                    pid = connection.get_server_pid()
                    killing = asyncio.create_task(other.fetchval("SELECT pg_terminate_backend($1)", pid))
                    for _ in range(attempt % 12):
                        await asyncio.sleep(0)
                    while True:
                        async with connection.transaction():
                            await connection.fetchval("SELECT $1::int", attempt)
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                assert unavailable(error), repr(error)  # noqa: PT017 -- of several kinds, at several places
            await killing
            assert await pool.fetchval("SELECT 1") == 1
    pool.terminate()


async def test_a_backend_terminated_in_a_statement_means_away(database: str) -> None:
    async with connected(database) as other, connected(database) as connection:
        work = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
        async with asyncio.timeout(10):
            while not await other.fetch(query):
                pass
        assert unavailable(await error_of(lambda: work))


@pytest.mark.parametrize("end", [PostgresControl.stop, PostgresControl.kill])
async def test_a_server_that_ends_means_away_until_it_is_back(
    postgres_control: PostgresControl, end: Callable[[PostgresControl], None]
) -> None:
    pool = await create_pool(postgres_control.dsn, min_size=2, max_size=2)
    try:
        async with pool.acquire() as held:
            work = asyncio.create_task(held.execute("SELECT pg_sleep(60)"))
            await asyncio.to_thread(end, postgres_control)
            assert unavailable(await error_of(lambda: work))
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        refused = await error_of(lambda: connect(postgres_control.dsn))
        assert isinstance(refused, DatabaseUnavailableError)
        assert "is it running" in str(refused) or "is the server running" in str(refused)
        await asyncio.to_thread(postgres_control.start)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


async def test_a_transaction_cut_by_a_restart_means_away(postgres_control: PostgresControl) -> None:
    async with connected(postgres_control.dsn) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE TABLE dozor.scratch (id int)")
        await asyncio.to_thread(postgres_control.restart)
        assert unavailable(await error_of(lambda: connection.execute("SELECT 1")))
        assert unavailable(await error_of(lambda: transaction.commit()))


async def test_a_frozen_server_means_away_within_the_time_outs(postgres_control: PostgresControl) -> None:
    pool = await create_pool(postgres_control.dsn, min_size=1, max_size=1, timeout=0.3, command_timeout=0.3)
    try:
        postgres_control.freeze()
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        refused = await error_of(lambda: connect(postgres_control.dsn, timeout=0.3))
        assert isinstance(refused, DatabaseUnavailableError)
        assert "no answer in time" in str(refused)
        postgres_control.thaw()
        assert await pool.fetchval("SELECT 1", timeout=10) == 1
    finally:
        pool.terminate()


async def test_a_server_that_is_shutting_down_means_away(postgres_control: PostgresControl) -> None:
    # A smart shutdown waits for the one client left, and turns new ones away (57P03).
    async with connected(postgres_control.dsn):
        postgres_control.shut_down_slowly()
        while True:
            try:
                await disconnect(await connect(postgres_control.dsn))
            except StorageError as error:
                refused = error
                break
    assert isinstance(refused, DatabaseUnavailableError)
    assert "starting up or shutting down" in str(refused)


async def test_too_many_connections_mean_away(postgres_control: PostgresControl) -> None:
    async with connected(postgres_control.dsn) as connection:
        await connection.execute("ALTER SYSTEM SET max_connections = 5")
    await asyncio.to_thread(postgres_control.restart)
    held = []
    try:
        while True:
            held.append(await connect(postgres_control.dsn))
    except StorageError as error:
        refused = error
    finally:
        for connection in held:
            await disconnect(connection)
    assert isinstance(refused, DatabaseUnavailableError)
    assert "max_connections" in str(refused)


async def test_a_read_only_server_means_away(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute("SET default_transaction_read_only = on")
        assert unavailable(await error_of(lambda: connection.execute("CREATE TABLE dozor.scratch (id int)")))


async def test_nobody_listening_means_away() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets this port meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        refused = await error_of(lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db"))
    assert isinstance(refused, DatabaseUnavailableError)
    assert f"127.0.0.1:{port}" in str(refused)
    assert "nobody listens" in str(refused)


async def test_a_host_without_an_address_means_away() -> None:
    refused = await error_of(lambda: connect(f"postgresql://user:{SECRET}@no-such-host.invalid/db"))
    assert isinstance(refused, DatabaseUnavailableError)
    assert "no-such-host.invalid:5432" in str(refused)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N"])
async def test_a_server_that_hangs_up_or_talks_nonsense_is_refused_in_words(greeting: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        refused = await error_of(lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db"))
    assert isinstance(refused, StorageError)
    assert SECRET not in str(refused)


async def test_a_server_that_accepts_and_says_nothing_means_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = await error_of(
            lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db", timeout=0.2)
        )
    assert isinstance(refused, DatabaseUnavailableError)


async def test_a_pool_can_be_made_while_the_server_is_away(postgres_control: PostgresControl) -> None:
    await asyncio.to_thread(postgres_control.stop)
    with pytest.raises(DatabaseUnavailableError):
        await create_pool(postgres_control.dsn, min_size=1)
    pool = await create_pool(postgres_control.dsn, min_size=0)
    try:
        # What a pool raises later is told apart the same way, and may be our own error already.
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        await asyncio.to_thread(postgres_control.start)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


# --- wrong until a person acts --------------------------------------------------------------------


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
        refused = await error_of(partial(connect, dsn))
        assert type(refused) is StorageError, dsn
        assert expected in str(refused)
        assert SECRET not in str(refused)
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
        refused = await error_of(partial(make, dsn, timeout=2))
        assert isinstance(refused, StorageError)
        shown = [str(refused), repr(refused)]
        link: BaseException | None = refused
        while link is not None:  # what a traceback would print
            shown.append(str(link))
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        assert SECRET not in " ".join(shown) + caplog.text
        assert "\n" not in str(refused)


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


# --- the rest -------------------------------------------------------------------------------------


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
