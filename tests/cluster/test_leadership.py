"""Who leads, by a clock of the test's own on a real database: taking, renewing, giving up and resigning."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
from loguru import logger

from dozor.app.standby import LATE, standby_snapshot
from dozor.cluster import leadership, lease
from dozor.cluster.handover import HeldStarts, ended, hand_over
from dozor.cluster.leadership import LEASE_SESSION, Ending, Leadership, LeaseSeen, lapsed
from dozor.cluster.lease import Holder, LeaseRow, Term
from dozor.cluster.pace import GAPS, Pace
from dozor.cluster.renewals import LateRenewals, RenewalLog
from dozor.cluster.replicas import (
    Beat,
    ReplicaRole,
    beat,
    forget,
    gone,
    read_replicas,
)
from dozor.cluster.trust_window import CHILD_SLACK, MARGIN, TrustWindow
from dozor.control.readiness import evaluate
from dozor.process.deadline_timer import boottime
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.tables import runners
from tests.waiting import stretched, until

TTL = 10.0
SECONDS = 20
"""Within which a step has to happen."""


def holder(name: str) -> Holder:
    return Holder(uuid4(), name, "test", ProcessIdentity.own())


ME = holder("me")
ELSEWHERE = replace(ProcessIdentity.own(), host="elsewhere", boot_id="another", pid_namespace="pid:[1]")
ROW = LeaseRow(
    Term(7, uuid4()), 3, TTL, "other", ELSEWHERE, expired=False, resigned=False, age=1.0, since=0.0
)


def seen(row: LeaseRow, unchanged_for: float = 0.0) -> LeaseSeen:
    return LeaseSeen(row, 1000.0, 1000.0 - unchanged_for)


@pytest.mark.parametrize(
    ("row", "unchanged_for", "given_up"),
    [
        (ROW, 0.0, False),
        (replace(ROW, expired=True), 0.0, True),
        (replace(ROW, term=Term(0, ROW.term.holder)), 99.0, False),
        (replace(ROW, term=Term(0, ROW.term.holder), expired=True), 0.0, True),
        (replace(ROW, term=Term(7, ME.id)), 0.0, True),
        (ROW, TTL, False),
        (ROW, TTL + 0.1, True),
        (ROW, 500.0, True),
        (replace(ROW, ttl=TTL * 2), TTL + 0.1, False),
        (replace(ROW, ttl=TTL * 2), TTL * 2 + 0.1, True),
        (replace(ROW, ttl=TTL / 2), TTL - 0.1, False),
        (replace(ROW, process=ME.process), 0.0, False),
        (replace(ROW, process=replace(ME.process, started=ME.process.started - 1)), 0.0, True),
    ],
)
def test_a_lease_is_given_up_when_it_expired_was_ours_stood_still_or_its_holder_is_dead(
    row: LeaseRow, unchanged_for: float, *, given_up: bool
) -> None:
    assert lapsed(seen(row, unchanged_for), ME, TTL) is given_up


Replica = Callable[[str], Leadership]


@pytest.fixture
async def replica(database: str) -> AsyncIterator[Replica]:
    """Makes replicas, each with a window of its own."""
    made: list[Leadership] = []

    def make(name: str) -> Leadership:
        made.append(Leadership(database, holder(name), TrustWindow(TTL)))
        return made[-1]

    yield make
    for one in made:
        one.close()
    await asyncio.sleep(0)


async def expire(pool: Pool) -> None:
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")


async def test_one_leads_the_other_stands_by_and_follows_a_resignation(pool: Pool, replica: Replica) -> None:
    first, second = replica("a"), replica("b")
    begun = boottime()
    async with asyncio.timeout(SECONDS):
        term = await first.acquire()
    assert first.window.trusted
    assert begun + TTL * 0.8 <= first.window.until <= boottime() + TTL * 0.8
    waiting = asyncio.create_task(second.acquire())
    await until(lambda: second.seen is not None)
    assert second.seen is not None
    assert (second.seen.row.term, second.seen.row.name) == (term, "a")
    assert not waiting.done()
    assert not second.window.trusted
    await first.resign(term)
    async with asyncio.timeout(SECONDS):
        next_term = await waiting
    assert next_term.epoch > term.epoch
    assert (await lease.read(pool)).term == next_term


async def test_a_replica_that_was_too_late_sees_who_has_taken_the_lease(
    pool: Pool, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replica("a"), replica("b")
    take = lease.take

    async def after_another(
        connection: Connection, me: Holder, ttl: float, *, lapsed: LeaseRow | None = None
    ) -> Term | None:
        assert await take(connection, first.me, ttl, lapsed=lapsed) is not None
        return await take(connection, me, ttl, lapsed=lapsed)

    monkeypatch.setattr(lease, "take", after_another)
    assert await second._try() is None
    assert second.seen is not None
    assert second.seen.row.name == "a"
    assert second.seen.row.age < TTL


@pytest.mark.parametrize(
    ("row", "read_ago", "leads", "reasons"),
    [
        (replace(ROW, age=TTL + LATE), 0.0, False, []),
        (replace(ROW, age=TTL + LATE + 1.0), 0.0, False, ["cluster"]),
        (replace(ROW, age=TTL), LATE + 1.0, False, ["cluster"]),
        (replace(ROW, age=99.0), 0.0, True, []),
        (replace(ROW, age=99.0), TTL * 2, True, []),
        (ROW, TTL + 0.1, False, ["database"]),
    ],
)
def test_a_standby_is_ready_while_the_database_answers_and_a_lease_is_renewed_be_it_its_own(
    row: LeaseRow, read_ago: float, reasons: list[str], *, leads: bool
) -> None:
    found = standby_snapshot(seen(row), TTL, 5_000.0, 1000.0 + read_ago, leads=leads, refreshed=True)
    assert [reason.partition(":")[0] for reason in evaluate(found).reasons] == reasons


async def test_a_leader_that_is_superseded_is_ready_as_a_standby_at_once(
    pool: Pool, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it read of the lease before its term is as old as the term; the database has answered since."""
    monkeypatch.setattr(leadership, "RENEWALS", 100)
    first = replica("a")
    term = await first.acquire()
    assert first.seen is not None
    first.seen = replace(first.seen, at=first.seen.at - 3600.0)
    keeping = asyncio.create_task(first.keep(term))
    try:
        async with asyncio.timeout(stretched(10)):
            while (await lease.read(pool)).renewals == 0:  # noqa: ASYNC110 -- a row of the database
                await asyncio.sleep(0.02)
        await pool.execute("UPDATE dozor.lease SET holder = gen_random_uuid()")
        assert await asyncio.wait_for(keeping, stretched(10)) is Ending.SUPERSEDED
    finally:
        keeping.cancel()
    found = standby_snapshot(first.seen, TTL, 5_000.0, first.window.now(), leads=False, refreshed=True)
    assert evaluate(found).reasons == ()


async def test_how_long_a_lease_stood_still_is_counted_from_its_last_change(
    pool: Pool, replica: Replica
) -> None:
    term = await replica("a").acquire()
    standby = replica("b")
    assert await standby._try() is None
    assert standby.seen is not None
    since = standby.seen.unchanged_since
    assert await standby._try() is None
    assert standby.seen.unchanged_since == since
    assert standby.seen.at > since
    assert await lease.renew(pool, term, TTL)
    assert await standby._try() is None
    assert standby.seen.unchanged_since > since
    assert standby.seen.unchanged_since == standby.seen.at


async def test_nothing_is_taken_while_a_runner_without_a_cluster_holds_its_lock(
    pool: Pool, replica: Replica
) -> None:
    one = replica("a")
    async with pool.acquire() as connection:
        assert await runners.try_lock(connection)
        assert await one._try() is None
        assert (await lease.read(pool)).term.epoch == 0
        await connection.execute("SELECT pg_advisory_unlock_all()")
    term = await one._try()
    assert term is not None
    await one.resign(term)
    assert (await lease.read(pool)).resigned


@pytest.mark.parametrize(("session_locks", "channels"), [(True, [lease.CHANNEL]), (False, [])])
async def test_only_a_session_of_its_own_listens_for_a_resignation(
    database: str, *, session_locks: bool, channels: list[str]
) -> None:
    one = Leadership(database, holder("a"), TrustWindow(TTL), session_locks=session_locks)
    assert await one._try() is not None
    rows = await (await one._session()).fetch("SELECT pg_listening_channels() AS channel")
    assert [row["channel"] for row in rows] == channels
    one.close()
    await asyncio.sleep(0)


async def test_a_renewal_that_fails_once_is_tried_again_within_the_window(
    pool: Pool, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0
    renew = lease.renew

    async def fail_once(connection: Connection, term: Term, ttl: float) -> bool:
        nonlocal failed
        failed += 1
        if failed == 1:
            raise ConnectionResetError
        return await renew(connection, term, ttl)

    monkeypatch.setattr(lease, "renew", fail_once)
    leader = replica("a")
    leader.window.ttl = 4.5
    async with asyncio.timeout(SECONDS):
        term = await leader.acquire()
        keeping = asyncio.create_task(leader.keep(term))
        while not (await lease.read(pool)).renewals:
            assert not keeping.done(), "it gave up"
            await asyncio.sleep(0.02)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def test_a_leader_renews_three_times_in_each_lease_until_another_leads(
    pool: Pool, replica: Replica
) -> None:
    leader = replica("a")
    leader.window.ttl = ttl = 4.5  # it gives up 1.35 s after a renewal was due
    async with asyncio.timeout(SECONDS):
        term = await leader.acquire()
        before = leader.window.until
        keeping = asyncio.create_task(leader.keep(term))
        begun = time.monotonic()
        while (await lease.read(pool)).renewals < 2:  # noqa: ASYNC110 -- a row of the database
            await asyncio.sleep(0.02)
        assert time.monotonic() - begun > 2 * ttl / 3 - 0.3
        assert leader.window.until > before
        assert await pool.fetchval(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND a.application_name = $1",
            LEASE_SESSION,
        ), "against runners without a cluster"
        await expire(pool)
        assert await lease.take(pool, holder("b"), TTL) is not None
        assert await keeping is Ending.SUPERSEDED
    assert not leader.window.trusted


async def test_a_leader_that_cannot_renew_ends_when_its_window_closes_and_not_later(
    database: str, replica: Replica
) -> None:
    leader = replica("a")
    leader.window.ttl = 1.5
    async with asyncio.timeout(SECONDS):
        term = await leader.acquire()
        leader.close()
        leader._dsn = database.replace("port=5432", "port=1")
        assert await leader.keep(term) is Ending.EXPIRING
    assert leader.window.now() >= leader.window.closes_at


async def test_an_error_that_is_not_the_databases_is_not_taken_for_an_outage(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    leader = replica("a")
    term = await leader.acquire()
    monkeypatch.setattr(lease, "resign", broken)
    monkeypatch.setattr(lease, "renew", broken)
    monkeypatch.setattr(lease, "read", broken)
    leader.window.ttl = 0.3
    async with asyncio.timeout(SECONDS):
        for work in (leader.resign(term), leader.acquire(), leader.keep(term)):
            with pytest.raises(ZeroDivisionError):
                await work


async def test_a_resignation_that_fails_leaves_the_lease_to_end_by_itself(
    database: str, pool: Pool, replica: Replica
) -> None:
    leader = replica("a")
    term = await leader.acquire()
    leader.close()
    leader._dsn = database.replace("port=5432", "port=1")
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    await leader.resign(term)
    await leader.resign(term)
    logger.remove(sink)
    assert len(lines) == 1, "the same reason once"
    assert not (await lease.read(pool)).resigned


def test_how_long_no_renewal_came_is_counted_from_the_last_one() -> None:
    log = RenewalLog(TTL)
    assert log.unrenewed_for(5.0) is None
    log.renewed(1.0)
    assert log.unrenewed_for(1.0 + TTL * 0.4) is None
    assert log.unrenewed_for(8.0) == 7.0
    log.renewed(8.0)
    assert log.late(8.0) == LateRenewals(1, 7.0)
    assert log.late(20.0) == LateRenewals(2, 12.0)
    assert 0 < CHILD_SLACK < MARGIN < 1


async def test_another_holder_of_the_same_epoch_or_another_epoch_of_the_holder_ends_nothing(
    pool: Pool,
) -> None:
    term = await lease.take(pool, ME, TTL)
    assert term is not None
    for other in (Term(term.epoch, uuid4()), Term(term.epoch + 1, term.holder)):
        await lease.resign(pool, other)
        assert not await lease.renew(pool, other, TTL)
        row = await lease.read(pool)
        assert (row.resigned, row.renewals) == (False, 0)
    await lease.resign(pool, term)
    assert (await lease.read(pool)).renewals == 1, "what a standby saw of it is out of date"


async def test_starts_of_tasks_whose_runs_go_on_elsewhere_are_held_until_these_end(pool: Pool) -> None:
    window = TrustWindow(TTL, now=lambda: 1000.0)
    window.extend(1000.0)
    held = HeldStarts(window)
    await hand_over(pool, ["a", "b"], 7, 60.0)
    await hand_over(pool, ["b"], 8, 1.0)  # does not shorten it
    await hand_over(pool, ["past"], 7, -1.0)
    await hand_over(pool, ["late"], 6, 0.5)  # of a process that ended without removing its rows
    await held.read(pool)
    assert [held.look_again_at(name, 5.0, in_process=False) is None for name in ("a", "b", "past", "c")] == [
        False,
        False,
        True,
        True,
    ]
    await ended(pool, 8)
    await held.read(pool)
    assert held.look_again_at("a", 5.0, in_process=False) is not None
    assert held.look_again_at("b", 5.0, in_process=False) is None
    following = asyncio.create_task(held.follow(pool))
    await ended(pool, 7)
    await until(lambda: held.look_again_at("a", 5.0, in_process=False) is None)
    async with asyncio.timeout(SECONDS):
        while await pool.fetchval("SELECT count(*) FROM dozor.handover"):  # noqa: ASYNC110 -- a row
            await asyncio.sleep(0.02)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_children_of_a_leader_that_died_may_outlive_it_by_a_tenth_of_its_lease(
    pool: Pool, replica: Replica
) -> None:
    """Not those of one whose lease has expired: they end before that."""
    process = ProcessIdentity.own()
    dead = Holder(uuid4(), "dead", "test", replace(process, started=process.started - 1))
    assert await lease.take(pool, dead, 30.0) is not None
    taken = replica("a")
    before = taken.window.now()
    term = await taken.acquire()
    assert before + 30.0 * CHILD_SLACK <= taken.children_until <= taken.window.now() + 30.0 * CHILD_SLACK
    await taken.resign(term)
    later = replica("b")
    await later.acquire()
    assert later.children_until == float("-inf")


async def test_a_later_hand_over_prolongs_an_earlier_one(pool: Pool) -> None:
    await hand_over(pool, ["a"], 7, 1.0)
    await hand_over(pool, ["a"], 8, 60.0)
    row = await pool.fetchrow("SELECT epoch, until > now() + interval '30 s' AS long FROM dozor.handover")
    assert row is not None
    assert tuple(row) == (8, True)


async def test_a_replica_is_as_it_last_said_and_its_role_since_it_changed(pool: Pool) -> None:
    me, other = holder("a"), holder("b")
    leads = Beat(
        role=ReplicaRole.LEADER,
        epoch=7,
        beats_every=2.0,
        config_digest="x",
        pools=("p",),
        slots=4,
        running=1,
    )
    await beat(pool, me, leads, time.time() + 100.0)
    await beat(pool, other, replace(leads, role=ReplicaRole.WORKER, epoch=None), time.time())
    first, second = await read_replicas(pool)
    assert (first.name, first.role, first.epoch, second.role) == ("a", "leader", 7, "worker")
    assert (first.beats_every, first.config_digest, first.pools, first.slots, first.running) == (
        2.0, "x", ("p",), 4, 1,
    )  # fmt: skip
    assert first.clock_offset == pytest.approx(100.0, abs=5.0)
    assert 0.0 <= first.silent_for < 30.0
    later = replace(leads, beats_every=3.0, config_digest="y", pools=("q",), slots=5, running=2)
    await beat(pool, me, later, time.time())
    again = (await read_replicas(pool))[0]
    assert (again.beats_every, again.config_digest, again.pools, again.slots, again.running) == (
        3.0, "y", ("q",), 5, 2,
    )  # fmt: skip
    assert again.role_since == first.role_since
    assert again.clock_offset == pytest.approx(0.0, abs=5.0)
    for change in (replace(later, epoch=8), replace(later, role=ReplicaRole.STANDBY, epoch=8)):
        await beat(pool, me, change, time.time())
        now = (await read_replicas(pool))[0]
        assert (now.role, now.epoch) == (change.role, change.epoch)
        assert now.role_since > again.role_since
        again = now
    await gone(pool, other.id)
    assert [one.name for one in await read_replicas(pool)] == ["a"]


async def test_replicas_are_forgotten_after_an_hour_and_leaders_with_the_next_one(pool: Pool) -> None:
    leads = Beat(role=ReplicaRole.LEADER, epoch=7, beats_every=2.0, config_digest="")
    roles = {
        "earlier": replace(leads, epoch=6),
        "leader": leads,
        "old": replace(leads, role=ReplicaRole.WORKER, epoch=None),
        "worker": replace(leads, role=ReplicaRole.WORKER, epoch=None),
        "standby": replace(leads, role=ReplicaRole.STANDBY, epoch=6),
    }
    for name, what in roles.items():
        await beat(pool, holder(name), what, time.time())
    await pool.execute("UPDATE dozor.replicas SET seen_at = now() - interval '61 min' WHERE name = 'old'")
    await pool.execute("UPDATE dozor.replicas SET seen_at = now() - interval '59 min' WHERE name = 'worker'")
    await forget(pool, 7)
    assert {one.name for one in await read_replicas(pool)} == {"leader", "worker", "standby"}


async def test_batches_wait_for_a_gap_that_grows_with_the_rate() -> None:
    loop, pace = asyncio.get_running_loop(), Pace()
    assert pace.left() < 0, "the first one does not wait"
    pace.begun()
    assert 0 < pace.left() <= GAPS[0]
    pace.took(1_000)
    before = loop.time()
    pace.begun()
    await pace.wait()
    assert loop.time() - before >= GAPS[1] * 0.9
