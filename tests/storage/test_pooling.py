"""Behind a real pgbouncer: what a session shared between clients breaks, and what is done instead."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dozor.clock import SteadyClock
from dozor.config import DatabaseConfig
from dozor.errors import StorageError
from dozor.storage.postgres.database import Database, check_own_sessions
from dozor.storage.postgres.listen import listening
from dozor.storage.postgres.pool import connect, create_pool, disconnect
from dozor.storage.postgres.pooling import dsn_of, marked, session_dsn_of, shares_sessions, unmarked
from dozor.storage.tables.runners import try_lock
from tests.effort import cases
from tests.pgbouncer import PgBouncer
from tests.waiting import until


@pytest.fixture
def pooled(short_dir: Path, database: str) -> Iterator[str]:
    """`database` through a pgbouncer in transaction mode, with three sessions of the server."""
    bouncer = PgBouncer(short_dir / f"b{uuid.uuid4().hex[:8]}", database, sizes=3)
    yield bouncer.dsn
    bouncer.close()


@pytest.fixture
def session_pooled(short_dir: Path, database: str) -> Iterator[str]:
    """`database` through a pgbouncer in session mode."""
    bouncer = PgBouncer(short_dir / f"b{uuid.uuid4().hex[:8]}", database, mode="session")
    yield bouncer.dsn
    bouncer.close()


def configured(url: str, **more: str) -> DatabaseConfig:
    return DatabaseConfig.model_validate({"url": url, **more})


@pytest.mark.parametrize("dsn", ["postgresql://h/db", "postgresql://u:p@h:1,i:2/db?sslmode=disable"])
def test_the_pooling_goes_with_the_address_and_never_reaches_the_driver(dsn: str) -> None:
    assert unmarked(marked(dsn)) == (dsn, True)
    assert unmarked(dsn) == (dsn, False)


def test_without_a_pooler_both_addresses_are_the_url() -> None:
    config = configured("postgresql://h/db")
    assert dsn_of(config) == session_dsn_of(config) == "postgresql://h/db"


def test_the_session_is_past_the_pooler() -> None:
    config = configured("postgresql://h:6432/db", pooling="transaction", direct_url="postgresql://h/db")
    assert unmarked(str(dsn_of(config))) == ("postgresql://h:6432/db", True)
    assert session_dsn_of(config) == "postgresql://h/db"
    assert session_dsn_of(configured("postgresql://h:6432/db", pooling="transaction")) is None


async def test_two_sessions_locks_are_granted_behind_such_a_pooler(pooled: str) -> None:
    """Why a runner must not hold its lock there; the server would grant it once."""
    one, two = await connect(marked(pooled)), await connect(marked(pooled))
    assert await try_lock(one)
    assert await try_lock(two)
    await disconnect(one)
    await disconnect(two)


async def test_a_pooler_that_shares_sessions_is_found(pooled: str) -> None:
    with pytest.raises(StorageError, match="Write database"):
        await check_own_sessions(pooled)
    with pytest.raises(StorageError, match="must lead past it"):
        await check_own_sessions(pooled, direct=True)


async def test_it_is_found_while_other_clients_use_it(pooled: str) -> None:
    pool = await create_pool(marked(pooled), max_size=8)

    async def busy() -> None:
        while True:
            await pool.fetchval("SELECT pg_sleep(0.001)")

    others = [asyncio.create_task(busy()) for _ in range(8)]
    try:
        for _ in range(cases(10, 50)):
            with pytest.raises(StorageError, match="pool_mode = transaction"):
                await check_own_sessions(pooled)
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.wait_for(
            pool.close(), 10
        )  # a connection whose statement was cancelled is closed as well


async def test_sessions_of_ones_own_are_not_mistaken(database: str, session_pooled: str) -> None:
    for dsn in (database, session_pooled):
        await check_own_sessions(dsn)
        one, two = await connect(dsn), await connect(dsn)
        assert not await shares_sessions(one, two)
        await disconnect(one)
        await disconnect(two)


async def test_a_start_refuses_such_a_pooler(pooled: str, database: str) -> None:
    with pytest.raises(StorageError, match="would be granted twice"):
        await Database.open(configured(pooled))
    with pytest.raises(StorageError, match="must lead past it"):
        await Database.open(configured(pooled, pooling="transaction", direct_url=pooled))
    opened = await Database.open(configured(pooled, pooling="transaction", direct_url=database))
    assert opened.session_dsn == database
    alone = await Database.open(configured(pooled, pooling="transaction"))
    assert alone.session_dsn is None


async def test_nothing_of_a_session_is_used_through_it(pooled: str) -> None:
    """More clients than sessions: with statements kept in one, or reset by another, some would fail."""
    pool = await create_pool(marked(pooled), min_size=1, max_size=12)

    async def use(number: int) -> None:
        for turn in range(cases(8, 25)):
            assert await pool.fetchval("SELECT $1::int + $2::int", number, turn) == number + turn
            async with pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(
                    "SELECT $1::jsonb AS value, $2::text[] AS t", {"a": turn}, ["b"]
                )
                assert (row["value"], row["t"]) == ({"a": turn}, ["b"])

    await asyncio.gather(*map(use, range(12)))
    async with pool.acquire() as connection:
        assert connection.get_reset_query() == ""
    pool.terminate()


async def test_a_session_that_another_client_left_open_is_not_reset(pooled: str) -> None:
    """The pool of one client gives a connection back while another one is in the middle of a transaction."""
    one = await create_pool(marked(pooled), max_size=1)
    other = await connect(marked(pooled))
    async with other.transaction():
        await other.execute("SET LOCAL dozor.kept = 'yes'")
        for _ in range(5):
            await one.fetchval("SELECT 1")
        assert await other.fetchval("SELECT current_setting('dozor.kept')") == "yes"
    await disconnect(other)
    one.terminate()


async def test_without_a_session_it_is_looked_for_every_100_ms() -> None:
    looks: list[float] = []
    loop = asyncio.get_running_loop()
    service = listening(None, {"channel": lambda: looks.append(loop.time())}, SteadyClock())
    task = asyncio.create_task(service())
    await until(lambda: len(looks) >= 4, within=10)
    task.cancel()
    assert looks[-1] - looks[0] >= 0.28


async def test_with_a_session_it_listens(pooled: str, database: str) -> None:
    heard = asyncio.Event()
    opened = await Database.open(configured(pooled, pooling="transaction", direct_url=database))
    task = asyncio.create_task(listening(opened.session_dsn, {"channel": heard.set}, SteadyClock())())
    await asyncio.wait_for(heard.wait(), 10)  # once after connecting
    heard.clear()
    through = await connect(marked(pooled))
    await through.execute("SELECT pg_notify('channel', '')")
    await asyncio.wait_for(heard.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await disconnect(through)
