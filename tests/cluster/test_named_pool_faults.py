"""Faults that other queues had in production, each against the runs that Dozor gives to workers.

The numbers are those of the trackers: pgqueuer#430 is https://github.com/janbjorge/pgqueuer/issues/430.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dozor.config.sections.tasks import Every
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import (
    Claim,
    Held,
    PoolChanges,
    PoolOrder,
    PoolRunOutcome,
    PoolRunState,
    WorkerEnd,
)
from tests.cluster.pools import leading, working
from tests.supervision.stage import spec
from tests.waiting import until

SILENT = 10.0
"""Seconds without a heartbeat after which a leader gives a run up, in these tests."""


def order(number: int = 1, due_at: float = 1000.0) -> PoolOrder:
    return PoolOrder(
        id=f"1-{number}",
        task="t",
        due_at=due_at,
        pool="default",
        epoch=1,
        attempt=1,
        number=number,
        digest="x",
    )


async def queue(pool: Pool, *orders: PoolOrder) -> int:
    """How many were not queued before."""
    async with pool.acquire() as connection, connection.transaction():
        return len(await pool_runs.write(connection, PoolChanges(orders=orders)))


async def claim(pool: Pool, worker: str, *ids: str) -> list[Claim]:
    async with pool.acquire() as connection:
        return await pool_runs.claim(connection, ids, worker)


async def give_up(pool: Pool) -> list[str]:
    async with pool.acquire() as connection, connection.transaction():
        return await pool_runs.give_up(connection, SILENT)


async def silent(pool: Pool, seconds: float) -> None:
    """As if the last heartbeat of all runs had been so long ago."""
    await pool.execute("UPDATE dozor.pool_runs SET heartbeat_at = now() - make_interval(secs => $1)", seconds)


def succeeded(of: Claim) -> WorkerEnd:
    return WorkerEnd(of.id, of.token, PoolRunOutcome.SUCCEEDED, None, None)


async def test_procrastinate_1518_a_run_of_a_worker_that_nobody_knows_any_more_is_given_up(
    pool: Pool,
) -> None:
    """There: a job stayed in progress for ever once the row of its worker was deleted."""
    await queue(pool, order())
    assert await claim(pool, "w1", "1-1")
    await pool.execute("DELETE FROM dozor.replicas")
    await silent(pool, SILENT + 1)
    assert await give_up(pool) == ["1-1"]


async def test_procrastinate_1518_a_restarted_worker_of_the_same_name_keeps_no_old_run_alive(
    pool: Pool,
) -> None:
    """There: a restarted pod had the id of the former one, whose job its heartbeats kept alive."""
    await queue(pool, order(1), order(2, due_at=2000.0))
    assert await claim(pool, "w1", "1-1")
    await silent(pool, SILENT + 1)
    [second] = await claim(pool, "w1", "1-2")
    await pool_runs.beat(pool, [Held(second.id, second.token, None)], [])
    assert await give_up(pool) == ["1-1"], "the run of the process that is gone, and only that one"


async def test_procrastinate_1495_a_due_time_is_queued_with_its_state_or_not_at_all(pool: Pool) -> None:
    """There: a time was recorded as dealt with, and its job did not exist."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await pool_runs.write(connection, PoolChanges(orders=(order(),)))
        await transaction.rollback()
    async with pool.acquire() as connection:
        assert await pool_runs.read_open(connection) == []
    assert await queue(pool, order()) == 1, "the next leader queues the same due time"
    assert await queue(pool, order(2)) == 0, "and once it is queued, nobody queues it again"


def noting(begun: list[str], seconds: float) -> Callable[[str], Any]:
    """For a worker's name, a checker that adds it to `begun` and takes `seconds`."""

    def on(worker: str) -> Any:
        async def check() -> None:
            begun.append(worker)
            await asyncio.sleep(seconds)

        return check

    return on


async def test_pgqueuer_430_a_run_that_takes_longer_than_the_limit_is_not_taken_again(pool: Pool) -> None:
    """There: heartbeats came less often than the limit after which a job counted as dead."""
    await queue(pool, order())
    [mine] = await claim(pool, "w1", "1-1")
    for _ in range(3):
        await silent(pool, SILENT - 1)
        assert await pool_runs.beat(pool, [Held(mine.id, mine.token, None)], []) == []
        assert await give_up(pool) == []
        assert await claim(pool, "w2", "1-1") == []
    assert await pool_runs.end(pool, [succeeded(mine)]) == {"1-1"}


async def test_pgqueuer_630_a_worker_that_was_told_to_end_blocks_nothing(pool: Pool) -> None:
    """There: a job whose task was cancelled at SIGTERM stayed picked and counted against the limit."""
    await queue(pool, order())
    [mine] = await claim(pool, "w1", "1-1")
    cancelled = WorkerEnd(mine.id, mine.token, PoolRunOutcome.CANCELLED, None, None)
    assert await pool_runs.end(pool, [cancelled]) == {"1-1"}
    [end] = await pool_runs.read_ends(pool, 10)
    assert (end.state, end.outcome) == (PoolRunState.ENDED, PoolRunOutcome.CANCELLED)
    async with pool.acquire() as connection, connection.transaction():
        await pool_runs.write(connection, PoolChanges(taken=("1-1",), orders=(order(2, due_at=2000.0),)))
    assert await claim(pool, "w2", "1-2"), "the next run of the task is claimed by another worker"
    assert [load.count for load in await pool_runs.read_loads(pool)] == [1]


async def test_pgqueuer_430_a_worker_keeps_a_run_that_takes_longer_than_the_limit(
    cluster_database: str,
) -> None:
    begun: list[str] = []

    on = noting(begun, 4.0)
    rare = Every(3600.0)
    async with (
        leading(cluster_database, spec("t", on("leader"), schedule=rare), silent_after=3.0) as leader,
        working(cluster_database, spec("t", on("a"), schedule=rare), name="a", silent_after=3.0),
        working(cluster_database, spec("t", on("b"), schedule=rare), name="b", silent_after=3.0),
    ):
        await until(lambda: leader.seen.successes.get("t", 0) == 1, within=30)
        assert leader.failure("t") == ""
    assert len(begun) == 1


async def test_pgqueuer_630_a_worker_that_ends_during_a_run_leaves_its_task_to_another(
    cluster_database: str,
) -> None:
    begun: list[str] = []

    on = noting(begun, 60.0)
    async with leading(cluster_database, spec("t", on("leader"))) as leader:
        async with working(cluster_database, spec("t", on("a")), name="a"):
            await until(lambda: begun == ["a"], within=20)
        async with working(cluster_database, spec("t", on("b")), name="b"):
            await until(lambda: begun == ["a", "b"], within=20)
        assert leader.failure("t") == "", "the end of a worker is no failure of the task"


async def test_dbos_804_a_worker_that_drains_does_not_take_back_what_it_has_just_handed_back(
    cluster_database: str, pool: Pool
) -> None:
    """There: an executor that was ending dequeued again what its successor had just put back, and kept it."""
    begun: list[str] = []
    on = noting(begun, 60.0)
    async with leading(cluster_database, spec("t", on("leader"))) as leader:
        async with working(cluster_database, spec("t", on("same")), name="same") as draining:
            await until(lambda: begun == ["same"], within=20)
            await draining.stop()
            # Still in its loop, under the name of its successor, while the run is due again.
            async with asyncio.timeout(20):
                while not await pool.fetch("SELECT FROM dozor.pool_runs WHERE state = 'queued'"):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            draining.wake()
            async with working(cluster_database, spec("t", on("successor")), name="same"):
                await until(lambda: len(begun) == 2, within=20)
                assert begun == ["same", "successor"]
                assert draining.running == 0
        assert leader.failure("t") == ""


async def test_bullmq_4729_a_worker_that_lost_a_run_ends_neither_it_nor_its_successor(pool: Pool) -> None:
    """A claim is known by its token: what an overtaken worker reports late changes nothing."""
    await queue(pool, order())
    [former] = await claim(pool, "w1", "1-1")
    await silent(pool, SILENT + 1)
    assert await give_up(pool) == ["1-1"]
    assert await pool_runs.end(pool, [succeeded(former)]) == set()
    [end] = await pool_runs.read_ends(pool, 10)
    assert (end.state, end.outcome) == (PoolRunState.LOST, None)
    [answer] = await pool_runs.beat(pool, [Held(former.id, former.token, None)], [])
    assert answer.taken_away, "its next heartbeat says so"
    async with pool.acquire() as connection, connection.transaction():
        await pool_runs.write(connection, PoolChanges(taken=("1-1",), orders=(order(2, due_at=2000.0),)))
    [successor] = await claim(pool, "w2", "1-2")
    assert await pool_runs.end(pool, [succeeded(former)]) == set()
    assert await pool_runs.read_ends(pool, 10) == []
    assert await pool_runs.end(pool, [succeeded(successor)]) == {"1-2"}
