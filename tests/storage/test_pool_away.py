"""What means that the database is away: every error here comes from a real server or a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import asyncpg
import pytest

from dozor.errors import DatabaseUnavailableError, StorageError
from dozor.storage.postgres.pool import Pool, connect, create_pool, disconnect, unavailable
from tests.effort import cases
from tests.server import PostgresControl
from tests.storage.asking import SECRET, connected, error_of


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
        for attempt in range(cases(36, 200)):
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
    shared_control: PostgresControl, end: Callable[[PostgresControl], None]
) -> None:
    pool = await create_pool(shared_control.dsn, min_size=2, max_size=2)
    try:
        async with pool.acquire() as held:
            work = asyncio.create_task(held.execute("SELECT pg_sleep(60)"))
            await asyncio.to_thread(end, shared_control)
            assert unavailable(await error_of(lambda: work))
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        told = await error_of(lambda: connect(shared_control.dsn))
        assert isinstance(told, DatabaseUnavailableError)
        assert "is it running" in str(told) or "is the server running" in str(told)
        await asyncio.to_thread(shared_control.start)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


async def test_a_transaction_cut_by_a_restart_means_away(shared_control: PostgresControl) -> None:
    async with connected(shared_control.dsn) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE TABLE dozor.scratch (id int)")
        await asyncio.to_thread(shared_control.restart)
        assert unavailable(await error_of(lambda: connection.execute("SELECT 1")))
        assert unavailable(await error_of(lambda: transaction.commit()))


async def test_a_frozen_server_means_away_within_the_time_outs(shared_control: PostgresControl) -> None:
    pool = await create_pool(shared_control.dsn, min_size=1, max_size=1, timeout=0.3, command_timeout=0.3)
    try:
        shared_control.freeze()
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        told = await error_of(lambda: connect(shared_control.dsn, timeout=0.3))
        assert isinstance(told, DatabaseUnavailableError)
        assert "no answer in time" in str(told)
        shared_control.thaw()
        assert await pool.fetchval("SELECT 1", timeout=10) == 1
    finally:
        pool.terminate()


async def test_a_server_that_is_shutting_down_means_away(shared_control: PostgresControl) -> None:
    # A smart shutdown waits for the one client left, and turns new ones away (57P03).
    async with connected(shared_control.dsn):
        shared_control.shut_down_slowly()
        while True:
            try:
                await disconnect(await connect(shared_control.dsn))
            except StorageError as error:
                told = error
                break
    await asyncio.to_thread(shared_control.stop)
    assert isinstance(told, DatabaseUnavailableError)
    assert "starting up or shutting down" in str(told)


async def test_too_many_connections_mean_away(postgres_control: PostgresControl) -> None:
    async with connected(postgres_control.dsn) as connection:
        await connection.execute("ALTER SYSTEM SET max_connections = 5")
    await asyncio.to_thread(postgres_control.restart)
    held = []
    try:
        while True:
            held.append(await connect(postgres_control.dsn))
    except StorageError as error:
        told = error
    finally:
        for connection in held:
            await disconnect(connection)
    assert isinstance(told, DatabaseUnavailableError)
    assert "max_connections" in str(told)


async def test_a_read_only_server_means_away(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute("SET default_transaction_read_only = on")
        assert unavailable(await error_of(lambda: connection.execute("CREATE TABLE dozor.scratch (id int)")))


async def test_nobody_listening_means_away() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets this port meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        told = await error_of(lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db"))
    assert isinstance(told, DatabaseUnavailableError)
    assert f"127.0.0.1:{port}" in str(told)
    assert "nobody listens" in str(told)


async def test_a_host_without_an_address_means_away() -> None:
    told = await error_of(lambda: connect(f"postgresql://user:{SECRET}@no-such-host.invalid/db"))
    assert isinstance(told, DatabaseUnavailableError)
    assert "no-such-host.invalid:5432" in str(told)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N"])
async def test_a_server_that_hangs_up_or_talks_nonsense_is_refused_in_words(greeting: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told = await error_of(lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db"))
    assert isinstance(told, StorageError)
    assert SECRET not in str(told)


async def test_a_server_that_accepts_and_says_nothing_means_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = await error_of(lambda: connect(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db", timeout=0.2))
    assert isinstance(told, DatabaseUnavailableError)


async def test_a_pool_can_be_made_while_the_server_is_away(shared_control: PostgresControl) -> None:
    await asyncio.to_thread(shared_control.stop)
    with pytest.raises(DatabaseUnavailableError):
        await create_pool(shared_control.dsn, min_size=1)
    pool = await create_pool(shared_control.dsn, min_size=0)
    try:
        # What a pool raises later is told apart the same way, and may be our own error already.
        assert unavailable(await error_of(lambda: pool.fetchval("SELECT 1")))
        await asyncio.to_thread(shared_control.start)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()
