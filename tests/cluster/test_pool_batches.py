"""Batches of pool runs: their distance and size, and that none waits for the commit of the one before."""

from __future__ import annotations

import asyncio

import pytest

from dozor.cluster import pool_runs as leaders_side
from dozor.cluster.pace import GAPS, gap_at, rate_after
from dozor.config.sections.tasks import Every
from dozor.storage.postgres.pool import connect
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
