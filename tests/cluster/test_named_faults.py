"""Faults that other schedulers had in production, each against the lease of Dozor.

The numbers are those of the trackers: oban#1488 is https://github.com/oban-bg/oban/issues/1488.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from dozor.cluster import handover, lease
from dozor.cluster.leadership import Ending, Leadership
from dozor.cluster.lease import Holder, Term
from dozor.cluster.trust_window import TrustWindow
from dozor.errors import SupersededError
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.fence import Fence
from dozor.storage.postgres.pool import Pool, connect, create_pool, disconnect
from dozor.storage.postgres.pooling import marked
from tests.effort import cases
from tests.pgbouncer import PgBouncer
from tests.system.stage import Stage
from tests.waiting import until

TTL = 3.0
WRITE = "INSERT INTO dozor.audit (at, source, actor, action, result) VALUES (now(), 'cli', 'x', 'x', 'done')"


def identity(name: str) -> ProcessIdentity:
    """Of a process on another machine: nobody here can see whether it lives."""
    return ProcessIdentity(host=name, boot_id=name, pid_namespace="1", pid=1, started=1)


@dataclass(slots=True)
class Node:
    """One that leads whenever it can, as a member of a cluster does; without the kernel timer."""

    name: str
    dsn: str
    sessions: bool = True
    machine: str = ""
    """The one of this name; else one named as the node."""
    window: TrustWindow = field(init=False)
    leadership: Leadership = field(init=False)
    terms: list[Term] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.window = TrustWindow(TTL)
        me = Holder(uuid4(), self.name, "test", identity(self.machine or self.name))
        self.leadership = Leadership(self.dsn, me, self.window, session_locks=self.sessions)

    async def live(self) -> None:
        while True:
            term = await self.leadership.acquire()
            self.terms.append(term)
            self.endings.append(await self.leadership.keep(term))
            self.window.close()

    @property
    def leads(self) -> bool:
        """Does it believe so?"""
        return self.window.trusted


@asynccontextmanager
async def living(*nodes: Node) -> AsyncIterator[None]:
    lives = [asyncio.create_task(node.live()) for node in nodes]
    try:
        yield
        assert not any(life.done() for life in lives)
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        for node in nodes:
            node.leadership.close()


async def taken_by_another(pool: Pool) -> Term:
    """The lease passes to a node that nobody heard of."""
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")
    term = await lease.take(pool, Holder(uuid4(), "other", "test", identity("other")), 60.0)
    assert term is not None
    return term


@pytest.fixture
def pooled(short_dir: Path, database: str) -> Iterator[str]:
    bouncer = PgBouncer(short_dir / f"b{uuid4().hex[:8]}", database, sizes=5)
    yield bouncer.dsn
    bouncer.close()


async def test_oban_1488_a_node_that_lost_the_lease_never_renews_that_of_another(
    pool: Pool, pooled: str
) -> None:
    """There: renewal matched by name alone, so a former leader confirmed itself for 19 days."""
    node = Node("a", marked(pooled), sessions=False)
    async with living(node):
        await until(lambda: node.leads, within=10)
        other = await taken_by_another(pool)
        before = (await lease.read(pool)).renewals
        await until(lambda: node.endings == [Ending.SUPERSEDED], within=10)
        assert not node.leads
        row = await lease.read(pool)
    assert (row.term, row.renewals) == (other, before)
    assert not await lease.renew(pool, node.terms[0], TTL)


async def test_oban_1488_elections_that_fail_end_leadership(pool: Pool, database: str) -> None:
    """There: a rolled back election left the node what it believed to be."""
    node = Node("a", database)
    async with living(node):
        await until(lambda: node.leads, within=10)
        await pool.execute(
            "CREATE FUNCTION dozor.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END $$"
        )
        await pool.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON dozor.lease FOR EACH ROW EXECUTE FUNCTION dozor.refuse()"
        )
        await until(lambda: node.endings == [Ending.EXPIRING], within=10)
        row = await lease.read(pool)
        assert not row.expired, "it stopped to believe before anybody else may lead"
        await asyncio.wait_for(_expired(pool), 10)
        assert not node.leads


async def _expired(pool: Pool) -> None:
    while not (await lease.read(pool)).expired:  # noqa: ASYNC110 -- the clock of the database
        await asyncio.sleep(0.02)


async def test_oban_py_32_of_three_nodes_with_one_name_one_believes_to_lead_at_any_moment(
    pool: Pool, database: str
) -> None:
    """There: processes that shared the name of their host each confirmed themselves by it, and three led."""
    nodes = [Node("worker", database, machine=machine) for machine in "abc"]
    most = 0

    def at_least(number: int, what: str) -> bool:
        return sum(len(getattr(node, what)) for node in nodes) >= number

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, sum(node.leads for node in nodes))
            await asyncio.sleep(0.002)

    async with living(*nodes):
        looking = asyncio.create_task(look())
        for turn in range(1, cases(2, 3) + 1):
            await until(partial(at_least, turn, "terms"), within=20)
            leader = next(node for node in nodes if node.leads)
            # Its sessions end and it cannot come back: what happens to a node that was cut off.
            leader.leadership._dsn = "postgresql://nobody@127.0.0.1:1/x"
            leader.leadership.close()
            await until(partial(at_least, turn, "endings"), within=20)
            leader.leadership._dsn = database
        looking.cancel()
    assert most == 1
    terms = sorted(term.epoch for node in nodes for term in node.terms)
    assert terms == sorted(set(terms)), "an epoch is led once"


async def test_kubernetes_23731_a_leader_whose_renewals_fail_stops_before_another_can_lead(
    pool: Pool, database: str
) -> None:
    """There: the former leader lost the lease and never called OnStoppedLeading."""
    node = Node("a", database)
    async with living(node):
        await until(lambda: node.leads, within=10)
        node.leadership._dsn = "postgresql://nobody@127.0.0.1:1/x"
        node.leadership.close()
        await until(lambda: not node.leads, within=10)
        row = await lease.read(pool)
        assert not row.expired, "two could have led"
        await until(lambda: node.endings == [Ending.EXPIRING], within=10)


async def test_river_1213_a_later_term_of_the_same_node_is_not_confused_with_its_former_one(
    pool: Pool, database: str
) -> None:
    """There: leadership went by the client's id; renewal and resignation were not limited to one term."""
    who = Holder(uuid4(), "a", "test", identity("a"))
    first = await lease.take(pool, who, TTL)
    assert first is not None
    await taken_by_another(pool)
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")
    second = await lease.take(pool, who, TTL)
    assert second is not None
    assert second.holder == first.holder
    assert not await lease.renew(pool, first, TTL)
    await lease.resign(pool, first)
    assert not (await lease.read(pool)).resigned, "a late resignation of the first term ended the second"
    with pytest.raises(SupersededError):
        await disconnect(await connect(database, kind=Fence(first, TTL / 2).connection))
    now = await connect(database, kind=Fence(second, TTL / 2).connection)
    await now.execute(WRITE)
    await disconnect(now)


async def test_dbos_804_a_process_that_drains_takes_nothing_back(pool: Pool, database: str) -> None:
    """There: a process that was ending claimed what its successor had just set free, and died with it."""
    leaving = Node("a", database)
    life = asyncio.create_task(leaving.live())
    await until(lambda: leaving.leads, within=10)
    term = leaving.terms[0]
    connection = await connect(database, kind=Fence(term, TTL / 2).connection)
    await handover.hand_over(connection, ["slow"], term.epoch, 30.0)
    await disconnect(connection)
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
    await leaving.leadership.resign(term)
    leaving.leadership.close()
    next_one = Holder(uuid4(), "b", "test", identity("b"))
    second = await lease.take(pool, next_one, TTL)
    assert second is not None
    assert not await lease.renew(pool, term, TTL), "the draining process leads again"
    rows = await pool.fetch("SELECT task, epoch, until > now() AS held FROM dozor.handover")
    assert [tuple(row) for row in rows] == [("slow", term.epoch, True)], (
        "its run is not started a second time"
    )
    await handover.ended(pool, term.epoch)
    assert await pool.fetchval("SELECT count(*) FROM dozor.handover") == 0


async def test_procrastinate_1495_a_leader_killed_right_after_the_take_over_keeps_nothing_from_running(
    cluster_database: str, short_dir: Path
) -> None:
    """There: the time of a periodic task was recorded, its job was not: nothing ran after the restart."""
    folder = short_dir / f"s{uuid4().hex[:8]}"
    folder.mkdir()
    stage = Stage(folder)
    cluster = {"enabled": True, "lease_ttl": "3s"}
    stage.write({"t": {"run": "scripted:obey", "every": "1h"}}, url=cluster_database, cluster=cluster)
    pool = await create_pool(cluster_database, max_size=1)
    try:
        first = stage.run()
        await asyncio.wait_for(_led(pool), 30)
        first.kill()
        stage.run()
        await until(lambda: bool(stage.runs("t")), within=30)
        assert stage.runs("t"), "the task never ran"
    finally:
        pool.terminate()
        stage.close()
        stage.say()


async def _led(pool: Pool) -> None:
    while (await lease.read(pool)).term.epoch == 0:  # noqa: ASYNC110 -- a row of the database
        await asyncio.sleep(0.002)
