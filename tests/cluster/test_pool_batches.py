"""Batches of pool runs: their distance and size, and that none waits for the commit of the one before."""

from __future__ import annotations

import asyncio

import pytest

from dozor.cluster import pool_runs as leaders_side
from dozor.cluster.pace import GAPS, gap_at, rate_after
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.worker import CLAIM_AT_ONCE, batch_limit
from dozor.config.sections.tasks import Every
from dozor.storage.postgres.fence import limited_connection
from dozor.storage.postgres.pool import connect
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import PoolChanges, PoolOrder
from tests.cluster.pools import leading, working
from tests.supervision.stage import spec
from tests.waiting import until


def sustained(rate: int, each: int, seconds: float = 5.0) -> float:
    """The average after batches of `each` entries at `rate` entries a second."""
    average = 0.0
    for _ in range(int(seconds * rate / each)):
        average = rate_after(average, each / rate, each)
    return average


def test_batches_are_further_apart_the_more_there_is_and_at_most_20_ms() -> None:
    assert gap_at(0.0) == GAPS[0]
    assert gap_at(sustained(100, 1)) == pytest.approx(0.004, rel=0.05)
    assert gap_at(sustained(5_000, 50)) == GAPS[1] == 0.02


def test_a_burst_that_stands_alone_makes_nothing_wait() -> None:
    assert gap_at(rate_after(0.0, 1.0, 100)) <= 0.004


def test_a_limit_is_a_power_of_two_of_at_most_the_free_slots() -> None:
    assert [batch_limit(free) for free in (-1, 0, 1, 2, 3, 100, 10_000)] == [0, 0, 1, 2, 2, 64, CLAIM_AT_ONCE]


def order(number: int) -> PoolOrder:
    return PoolOrder(
        id=f"1-{number}",
        task=f"t{number}",
        due_at=1000.0,
        pool="default",
        epoch=1,
        attempt=1,
        number=number,
        digest="x",
    )


async def test_a_worker_dequeues_by_a_plan_that_is_kept(cluster_database: str) -> None:
    queue, batches = PgQueuerQueue(), 8
    connection = await connect(cluster_database, kind=limited_connection(5.0))
    async with connection.transaction():
        orders = [order(number) for number in range(4 * batches)]
        await queue.enqueue(connection, await pool_runs.write(connection, PoolChanges(tuple(orders))))
    found = []
    for _ in range(batches):
        async with connection.transaction():
            offers = await queue.dequeue(connection, ["default"], 4)
            assert len(offers) == 4
            found += [claim.id for claim in await queue.claim(connection, offers, "w")]
    plans = await connection.fetch(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
        " WHERE starts_with(statement, 'WITH') AND statement LIKE '%next_queued%'"
    )
    await connection.close()
    assert sorted(found) == sorted(one.id for one in orders)
    assert [(plan["generic_plans"], plan["custom_plans"]) for plan in plans] == [(batches, 0)]


async def test_ends_are_consumed_while_those_before_are_not_committed_yet(
    cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders_side, "ENDS_AT_ONCE", 1)
    gates = {name: asyncio.Event() for name in ("a", "b", "c")}

    async def check(ctx: object) -> None:
        await gates[ctx.task].wait()  # type: ignore[attr-defined]

    specs = [spec(name, check, schedule=Every(60.0)) for name in gates]
    blocking = await connect(cluster_database)
    async with leading(cluster_database, *specs) as leader, working(cluster_database, *specs) as worker:
        await until(lambda: len(worker.runs.assigned) == 3, within=30)
        await leader.journal.flush()
        async with blocking.transaction():
            await blocking.execute("LOCK TABLE dozor.tasks IN SHARE MODE")  # no state can be written
            for done, gate in enumerate(gates.values(), start=1):
                gate.set()
                await until(lambda: sum(leader.seen.successes.values()) == done, within=20)  # noqa: B023 -- awaited
            assert await blocking.fetchval("SELECT count(*) FROM dozor.pool_runs WHERE state = 'ended'") == 3
        await leader.journal.flush()
        assert leader.seen.successes == {"a": 1, "b": 1, "c": 1}
    assert await blocking.fetchval("SELECT count(*) FROM dozor.pool_runs WHERE state <> 'taken'") == 0
    await blocking.close()
