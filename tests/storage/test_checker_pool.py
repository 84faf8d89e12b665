"""`ctx.db`: usable as an asyncpg pool, bounded, and every connection has a known holder."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal

import asyncpg
import pytest

from dozor.errors import PoolExhaustedError
from dozor.storage.postgres.checker_pool import RECLAIM_AFTER, CheckerPool, Holder, RunDatabase
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.supervision.monitoring.pool_monitor import PoolMonitor
from dozor.supervision.telemetry.observer import Trouble
from tests.waiting import until

ALIVE_SQL = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"


@dataclass
class Time:
    """A clock that is set by hand."""

    at: float = 1764000000.0

    def now(self) -> float:
        return self.at


@dataclass
class Troubles:
    raised_ones: list[Trouble] = field(default_factory=list)
    cleared_ones: list[Trouble] = field(default_factory=list)

    def raised(self, trouble: Trouble) -> None:
        self.raised_ones.append(trouble)

    def changed(self, trouble: Trouble) -> None:
        raise AssertionError(trouble)

    def cleared(self, trouble: Trouble) -> None:
        self.cleared_ones.append(trouble)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def checkers(database: str, time: Time) -> AsyncIterator[CheckerPool]:
    """Of two connections; a wait ends after 0.2 s."""
    pool = await CheckerPool.open(database, size=2, acquire_timeout=0.2, now=time.now)
    yield pool
    pool.terminate()
    await asyncio.sleep(0)


def run_of(checkers: CheckerPool, name: str, *, over: Callable[[], bool] = lambda: False) -> RunDatabase:
    return checkers.for_run(name, f"1-{name}", over)


async def free(checkers: CheckerPool) -> int:
    """How many connections can be acquired now."""
    db, taken = run_of(checkers, "count"), []
    for _ in range(checkers.size):
        try:
            taken.append(await db.acquire())
        except PoolExhaustedError:
            break
    for connection in taken:
        await db.release(connection)
    return len(taken)


async def test_a_codec_of_one_run_does_not_decode_for_another(checkers: CheckerPool) -> None:
    mine, yours = run_of(checkers, "mine"), run_of(checkers, "yours")
    for _ in range(3):
        async with mine.acquire() as connection:
            await connection.set_type_codec(
                "numeric", schema="pg_catalog", encoder=str, decoder=float, format="text"
            )
            await connection.reset_type_codec("jsonb", schema="pg_catalog")
            assert type(await connection.fetchval("SELECT 0.1::numeric")) is float
    for _ in range(checkers.size):
        assert await yours.fetchval("SELECT 0.1::numeric") == Decimal("0.1")
        assert await yours.fetchval("SELECT '{\"a\": 1}'::jsonb") == {"a": 1}
    assert checkers.holders == ()
    assert await free(checkers) == 2


async def test_a_connection_without_a_codec_of_a_run_is_used_again(checkers: CheckerPool) -> None:
    db = run_of(checkers, "payer")
    server = {await db.fetchval("SELECT pg_backend_pid()") for _ in range(5)}
    assert len(server) == 1


async def test_it_is_an_asyncpg_pool(checkers: CheckerPool) -> None:
    db = run_of(checkers, "payer")
    assert isinstance(db, asyncpg.Pool)
    assert await db is db
    await db.execute("CREATE TABLE paid (id int, amount numeric)")
    await db.executemany("INSERT INTO paid VALUES ($1, $2)", [(1, 10), (2, 20)])
    await db.copy_records_to_table("paid", records=[(3, 30)])
    written = io.BytesIO()
    await db.copy_from_query("SELECT id FROM paid WHERE id > $1", 1, output=written)
    assert written.getvalue() == b"2\n3\n"
    assert await db.fetchval("SELECT sum(amount) FROM paid") == 60
    row = await db.fetchrow("SELECT * FROM paid WHERE id = 2")
    assert dict(row) == {"id": 2, "amount": 20}
    assert len(await db.fetch("SELECT * FROM paid", timeout=5)) == 3
    async with db.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.execute("DELETE FROM paid")
        await undone.rollback()
        async with connection.transaction():
            await connection.execute("UPDATE paid SET amount = 0")
        assert await connection.fetchval("SELECT '{\"a\": 1}'::jsonb") == {"a": 1}
    connection = await db.acquire(timeout=5)
    assert await connection.fetchval("SELECT count(*) FROM paid") == 3
    await db.release(connection)
    await db.release(connection)  # as with asyncpg, the second is none
    assert (db.get_max_size(), db.is_closing(), db.get_idle_size()) == (2, False, 1)
    assert checkers.holders == ()
    assert await free(checkers) == 2


async def test_a_checker_cannot_close_it_for_others(checkers: CheckerPool) -> None:
    db = run_of(checkers, "careless")
    for close in (db.close, db.expire_connections):
        with pytest.raises(asyncpg.InterfaceError, match="shared by all checkers"):
            await close()
    with pytest.raises(asyncpg.InterfaceError, match="shared by all checkers"):
        db.terminate()
    with pytest.raises(asyncpg.InterfaceError, match="shared by all checkers"):
        async with db:
            pass
    assert await run_of(checkers, "other").fetchval("SELECT 1") == 1


async def test_a_connection_of_another_pool_is_refused(checkers: CheckerPool, pool: Pool) -> None:
    async with pool.acquire() as foreign:
        with pytest.raises(asyncpg.InterfaceError, match="not a member of this pool"):
            await run_of(checkers, "confused").release(foreign)


async def test_waiting_in_vain_names_the_holders(checkers: CheckerPool, time: Time) -> None:
    slow, slower = run_of(checkers, "slow"), run_of(checkers, "slower")
    async with slow.acquire():
        time.at += 60
        async with slower.acquire():
            assert checkers.holders == (
                Holder("slow", "1-slow", time.at - 60),
                Holder("slower", "1-slower", time.at),
            )
            with pytest.raises(PoolExhaustedError) as raised:
                await run_of(checkers, "victim").fetchval("SELECT 1")
            assert str(raised.value) == (
                "no connection of ctx.db became free within 0.2 s; "
                "held by slow (run 1-slow) since 16:00:00 UTC, by slower (run 1-slower) since 16:01:00 UTC"
            )
            assert isinstance(raised.value, TimeoutError)
            assert not unavailable(raised.value)
            with pytest.raises(PoolExhaustedError, match=r"within 0\.01 s"):
                await run_of(checkers, "hasty").acquire(timeout=0.01)
    assert await free(checkers) == 2


async def test_a_run_that_waits_on_itself_is_told_so(checkers: CheckerPool) -> None:
    greedy = run_of(checkers, "greedy")
    async with greedy.acquire(), greedy.acquire():
        with pytest.raises(PoolExhaustedError, match=r"held by greedy .*, by greedy "):
            await greedy.fetchval("SELECT 1")


async def test_who_waits_longest_is_served_first(checkers: CheckerPool) -> None:
    served: list[str] = []

    async def use(name: str) -> None:
        async with run_of(checkers, name).acquire(timeout=5):
            served.append(name)

    async with run_of(checkers, "a").acquire(), run_of(checkers, "b").acquire():
        waiting = []
        for name in ("first", "second", "third"):
            waiting.append(asyncio.create_task(use(name)))
            await until(lambda name=name: name in checkers.waiting)  # type: ignore[misc]
        assert checkers.waiting == ("first", "second", "third")
        waiting.pop(1).cancel()
        await until(lambda: checkers.waiting == ("first", "third"))
    await asyncio.gather(*waiting)
    assert served == ["first", "third"]


async def test_no_cancellation_loses_a_connection(checkers: CheckerPool) -> None:
    luck = random.Random(7)

    async def use(number: int) -> None:
        async with run_of(checkers, f"run {number}").acquire(timeout=luck.uniform(0.001, 0.2)) as connection:
            await connection.execute("SELECT pg_sleep($1::float8)", luck.uniform(0, 0.01))

    tasks = []
    for number in range(300):
        tasks.append(asyncio.create_task(use(number)))
        if luck.random() < 0.5:
            asyncio.get_running_loop().call_later(luck.uniform(0, 0.05), tasks[-1].cancel)
        await asyncio.sleep(luck.uniform(0, 0.004))
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    kinds = {type(one) for one in ended if one is not None}
    assert kinds <= {asyncio.CancelledError, PoolExhaustedError, TimeoutError}, kinds
    assert None in ended
    await until(lambda: checkers.holders == ())
    assert await free(checkers) == 2


async def test_a_connection_that_the_server_closed_is_replaced(checkers: CheckerPool, pool: Pool) -> None:
    async with run_of(checkers, "cut off").acquire() as connection:
        await pool.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
            await connection.fetchval("SELECT 1")
    assert checkers.holders == ()
    assert await free(checkers) == 2


async def test_what_a_run_keeps_after_its_end_is_closed_and_rolled_back(
    checkers: CheckerPool, pool: Pool, time: Time
) -> None:
    ended: list[str] = []
    leaky = run_of(checkers, "leaky", over=lambda: bool(ended))
    await pool.execute("CREATE TABLE paid (id int)")
    kept = [await leaky.acquire(), await leaky.acquire()]
    await kept[0].execute("BEGIN")
    await kept[0].execute("INSERT INTO paid VALUES (1)")
    pid = kept[0].get_server_pid()
    time.at += 3600
    checkers.reclaim()
    assert await kept[0].fetchval("SELECT count(*) FROM paid") == 1  # the run goes on, so its connection does
    ended.append("now")
    checkers.reclaim()
    assert [holder.over for holder in checkers.holders] == [True, True]
    time.at += RECLAIM_AFTER - 0.1
    checkers.reclaim()
    assert await kept[1].fetchval("SELECT 1") == 1  # a task that the run has left has a while to finish
    time.at += 0.2
    checkers.reclaim()
    assert checkers.holders == ()
    with pytest.raises(asyncpg.InterfaceError):
        await kept[1].fetchval("SELECT 1")
    await leaky.release(kept[1])  # too late, and harmless
    assert await free(checkers) == 2
    async with asyncio.timeout(10):
        while await pool.fetchval(ALIVE_SQL, pid):  # noqa: ASYNC110 -- another server process
            await asyncio.sleep(0.01)
    assert await pool.fetchval("SELECT count(*) FROM paid") == 0


async def test_what_a_run_uses_after_its_end_is_given_the_same_time(
    checkers: CheckerPool, time: Time
) -> None:
    db = run_of(checkers, "fire and forget", over=lambda: True)
    async with db.acquire() as connection:
        checkers.reclaim()
        time.at += RECLAIM_AFTER - 1
        checkers.reclaim()
        assert await connection.fetchval("SELECT 1") == 1
    assert checkers.holders == ()


async def test_another_loop_is_refused_in_words(checkers: CheckerPool) -> None:
    db = run_of(checkers, "threaded")

    def in_a_thread() -> None:
        asyncio.run(db.fetchval("SELECT 1"))

    with pytest.raises(RuntimeError, match="belongs to the runner's event loop"):
        await asyncio.to_thread(in_a_thread)
    assert await free(checkers) == 2


async def test_starvation_is_raised_once_with_its_holders_and_cleared_when_it_is_over(
    checkers: CheckerPool, time: Time
) -> None:
    troubles = Troubles()
    watch = PoolMonitor(checkers, troubles, time, starved_after=5.0)
    first, second = run_of(checkers, "first"), run_of(checkers, "second")
    one, two = await first.acquire(), await second.acquire()
    time.at += 3600
    watch.check()
    assert troubles.raised_ones == []  # nobody waits
    # Whoever gives up does not end it: the next one waits in vain as well.
    for _ in range(6):
        with pytest.raises(PoolExhaustedError):
            await run_of(checkers, "victim").acquire(timeout=0.01)
        time.at += 1
    waiting = asyncio.create_task(run_of(checkers, "victim").fetchval("SELECT 1", timeout=5))
    await until(lambda: checkers.waiting == ("victim",))
    watch.check()
    watch.check()
    [trouble] = troubles.raised_ones
    assert (trouble.seconds, trouble.count, trouble.waiting) == (6.0, 2, ("victim",))
    assert [(holder.task, holder.since) for holder in trouble.holders] == [
        ("first", time.at - 3606),
        ("second", time.at - 3606),
    ]
    await second.release(two)
    await waiting
    assert troubles.cleared_ones == []
    watch.check()
    assert len(troubles.cleared_ones) == 1
    await first.release(one)
    watch.check()
    assert (len(troubles.raised_ones), len(troubles.cleared_ones)) == (1, 1)


async def test_a_server_that_does_not_answer_is_no_starvation(time: Time) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    checkers = await CheckerPool.open(
        f"postgresql://user@127.0.0.1:{port}/db?sslmode=disable", size=1, acquire_timeout=30, now=time.now
    )
    troubles = Troubles()
    watch = PoolMonitor(checkers, troubles, time, starved_after=5.0)
    async with server:
        connecting = asyncio.create_task(run_of(checkers, "connects").execute("SELECT 1"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(run_of(checkers, "waits").execute("SELECT 1"))
        await until(lambda: checkers.waiting == ("waits",))
        time.at += 60
        watch.check()
        assert troubles.raised_ones == []
        with pytest.raises(PoolExhaustedError, match="held by nobody; 1 are still connecting"):
            await run_of(checkers, "gives up").acquire(timeout=0.01)
        for task in (connecting, waiting):
            task.cancel()
        await asyncio.gather(connecting, waiting, return_exceptions=True)
        assert checkers.starved_since is None
        checkers.terminate()
