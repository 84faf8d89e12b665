"""The LISTEN service: woken by NOTIFY and after every connection, through restarts and silent deaths."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from loguru import logger

from dozor.clock import SteadyClock
from dozor.storage.postgres.listen import Listener
from dozor.storage.postgres.pool import connect
from tests.server import PostgresControl
from tests.waiting import until


@asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def woken(event: asyncio.Event, *, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        await event.wait()
    event.clear()


def make(dsn: str, *, warn_after: float = 2.0, **events: asyncio.Event) -> Listener:
    channels = {name: event.set for name, event in events.items()}
    return Listener(
        dsn,
        channels,
        SteadyClock(),
        check_every=0.2,
        answer_within=0.5,
        first_delay=0.02,
        max_delay=0.1,
        warn_after=warn_after,
    )


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Lines of the log at INFO or above."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="INFO", format="{message}")
    yield lines
    logger.remove(sink)


async def notify(dsn: str, channel: str) -> None:
    connection = await connect(dsn)
    await connection.execute(f"NOTIFY {channel}, 'ignored'")
    await connection.close()


async def test_everybody_is_woken_once_after_connecting_then_by_his_own_channel(database: str) -> None:
    one, two = asyncio.Event(), asyncio.Event()
    listener = make(database, one=one, two=two)
    assert listener.connected_at is None
    async with running(listener):
        await woken(one)
        await woken(two)
        await notify(database, "two")
        await woken(two)
        assert not one.is_set()
        assert listener.connected


async def test_a_terminated_backend_is_replaced_and_everybody_woken(database: str) -> None:
    event = asyncio.Event()
    listener = make(database, channel=event)
    async with running(listener):
        await woken(event)
        connection = await connect(database)
        killed = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'dozor listen' AND datname = current_database()"
        )
        assert killed == 1
        await connection.close()
        await woken(event)
        await notify(database, "channel")
        await woken(event)


async def test_a_server_away_from_the_start_and_again_later_is_waited_for(
    shared_control: PostgresControl,
) -> None:
    event = asyncio.Event()
    listener = make(shared_control.dsn, channel=event)
    await asyncio.to_thread(shared_control.stop)
    async with running(listener):
        for _ in range(2):
            await until(lambda: not listener.connected)
            assert not event.is_set()
            await asyncio.to_thread(shared_control.start)
            await woken(event)
            await notify(shared_control.dsn, "channel")
            await woken(event)
            await asyncio.to_thread(shared_control.stop)


async def test_an_outage_is_one_warning_that_says_what_is_wrong(
    shared_control: PostgresControl, logged: list[str]
) -> None:
    event = asyncio.Event()
    async with running(make(shared_control.dsn, warn_after=0.3, channel=event)):
        await woken(event)
        await asyncio.to_thread(shared_control.kill)
        await until(lambda: bool(logged))
        await asyncio.to_thread(shared_control.start)
        await woken(event)
        await until(lambda: len(logged) == 2)
    assert logged[0].startswith("LISTEN: no connection to the database for ")
    assert "is the server running" in logged[0]
    assert "polling" in logged[0]
    assert logged[1].startswith("LISTEN: connected again")


async def test_a_connection_that_comes_back_at_once_is_not_logged(database: str, logged: list[str]) -> None:
    event = asyncio.Event()
    async with running(make(database, channel=event)):
        await woken(event)
        connection = await connect(database)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'dozor listen' AND datname = current_database()"
        )
        await connection.close()
        await woken(event)
    assert logged == []


async def test_a_process_that_ends_with_its_server_logs_nothing(
    shared_control: PostgresControl, logged: list[str]
) -> None:
    event = asyncio.Event()
    listener = make(shared_control.dsn, channel=event)
    async with running(listener):
        await woken(event)
        await asyncio.to_thread(shared_control.stop)
        await until(lambda: not listener.connected)
    assert logged == []


async def test_a_silently_dead_connection_is_noticed(shared_control: PostgresControl) -> None:
    event = asyncio.Event()
    listener = make(shared_control.dsn, channel=event)
    async with running(listener):
        await woken(event)
        shared_control.freeze()
        await until(lambda: not listener.connected, within=5)
        last = listener.connected_at
        assert last is not None
        shared_control.thaw()
        await woken(event)
        await until(lambda: listener.connected)
        assert listener.connected_at is not None
        assert listener.connected_at > last


async def test_a_listener_can_be_cancelled_while_the_server_is_silent(
    shared_control: PostgresControl,
) -> None:
    event = asyncio.Event()
    listener = make(shared_control.dsn, channel=event)
    task = asyncio.create_task(listener.run())
    await woken(event)
    shared_control.freeze()
    await until(lambda: not listener.connected)
    task.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait([task])
    assert task.cancelled()


async def test_a_channel_name_is_quoted(database: str) -> None:
    event = asyncio.Event()
    listener = Listener(database, {'odd "name"; DROP': event.set}, SteadyClock())
    async with running(listener):
        await woken(event)
        connection: asyncpg.Connection = await connect(database)
        await connection.execute("SELECT pg_notify($1, '')", 'odd "name"; DROP')
        await connection.close()
        await woken(event)
