"""How long a leader and a standby wait for an answer of the database, and what they log about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from uuid import uuid4

import pytest
from loguru import logger

from dozor.cluster import lease
from dozor.cluster.leadership import Ending, Leadership
from dozor.cluster.lease import Term
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.replicas import SILENT_BEATS, ReplicaRole, ReplicaRow
from dozor.cluster.trust_window import TrustWindow
from dozor.errors import StorageError
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables.pool_runs import PoolOrder
from tests.cluster.test_leadership import holder
from tests.waiting import stretched, until

TERM = Term(7, uuid4())
SECONDS = 20.0
"""Within which a step has to happen."""


class Clock:
    """CLOCK_BOOTTIME of a test: runs on by itself, and can be moved."""

    def __init__(self) -> None:
        self.ahead = 5_000.0 - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self.ahead


async def hang(*_: object, **__: object) -> None:
    """A database that does not answer."""
    await asyncio.Event().wait()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def leader(database: str, clock: Clock) -> AsyncIterator[Leadership]:
    """A replica with a long lease, by the test's clock."""
    one = Leadership(database, holder("a"), TrustWindow(600.0, now=clock.now))
    yield one
    one.close()
    await asyncio.sleep(0)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message.record["message"])), level="WARNING")
    yield lines
    logger.remove(sink)


async def test_a_leader_that_wakes_after_its_window_has_closed_gives_up_at_once(
    leader: Leadership, clock: Clock
) -> None:
    leader.window.extend(clock.now())
    clock.ahead += 500.0
    async with asyncio.timeout(stretched(SECONDS)):
        assert await leader.keep(TERM) is Ending.EXPIRING


async def keep_from_now(leader: Leadership, lease_seconds: float) -> asyncio.Task[Ending]:
    """`keep`, whose first renewal is due at once instead of after a third of `lease_seconds`."""
    leader.window.ttl = 0.03
    keeping = asyncio.create_task(leader.keep(TERM))
    await asyncio.sleep(0)
    leader.window.ttl = lease_seconds
    return keeping


async def test_a_renewal_without_an_answer_is_not_waited_for_beyond_the_end_of_the_window(
    leader: Leadership, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "_session", hang)
    leader.window.ttl = lease_seconds = 3000.0  # one answer may take 600 s
    leader.window.extend(clock.now())
    clock.ahead = leader.window.closes_at - 0.5 - time.monotonic()
    keeping = await keep_from_now(leader, lease_seconds)
    async with asyncio.timeout(stretched(SECONDS)):
        assert await keeping is Ending.EXPIRING
    assert clock.now() >= leader.window.closes_at


async def test_a_standby_and_a_resignation_stop_waiting_for_an_answer_before_the_lease_has_passed(
    leader: Leadership, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setattr(leader, "_session", hang)
    leader.window.ttl = 1.5
    begun = time.monotonic()
    await leader.resign(TERM)
    assert 0.2 * 3 * leader.ttl - 0.05 <= time.monotonic() - begun < stretched(2.5), (
        "twice, the second longer"
    )
    waiting = asyncio.create_task(leader.acquire())
    await asyncio.sleep(0)
    leader._said = None
    async with asyncio.timeout(stretched(2.5)):
        while len(warnings) < 2:  # noqa: ASYNC110 -- a list of log lines
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_renewal_that_fails_is_tried_again_after_a_thirtieth_of_the_lease(
    leader: Leadership, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []

    async def fail(*_: object, **__: object) -> None:
        attempts.append(clock.now())
        raise ConnectionResetError

    monkeypatch.setattr(leader, "_session", fail)
    leader.window.extend(clock.now())
    keeping = await keep_from_now(leader, 6.0)
    await until(lambda: len(attempts) >= 3)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(attempts))


async def test_a_session_that_only_renews_does_not_listen(pool: Pool, leader: Leadership) -> None:
    term = await leader._try()
    assert term is not None
    leader.close()
    assert await leader._renew(term)
    channels = await (await leader._session()).fetch("SELECT pg_listening_channels() AS channel")
    assert channels == []
    assert (await lease.read(pool)).renewals == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StorageError("the disk is full"), "the disk is full"),
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_a_failure_is_logged_with_its_reason_and_repeated_only_when_it_changes(
    error: Exception, words: str, warnings: list[str]
) -> None:
    replica = Leadership("postgresql://nowhere", holder("a"), TrustWindow(10.0))
    replica._failed(error)
    replica._failed(error)
    [line] = warnings
    assert words in line
    replica._say("another " + str(1), warning=True)
    replica._say("another " + str(1), warning=True)
    assert warnings[1:] == ["another 1"]


@pytest.mark.parametrize("every", [0.5, 2.0, 4.0])
def test_a_replica_is_lost_after_three_beats_without_a_sign_of_life(every: float) -> None:
    def silent_for(seconds: float) -> ReplicaRow:
        return ReplicaRow(
            id=uuid4(),
            name="a",
            role=ReplicaRole.STANDBY,
            epoch=None,
            host="h",
            pid=1,
            version="",
            started_at=0.0,
            role_since=0.0,
            silent_for=seconds,
            beats_every=every,
            config_digest="",
            clock_offset=0.0,
            pools=(),
            slots=0,
            running=0,
        )

    assert SILENT_BEATS == 3
    assert not silent_for(3 * every).lost
    assert silent_for(3 * every + 0.01).lost


async def test_a_pool_hands_out_as_many_jobs_as_are_asked_for_whatever_is_out_already(
    cluster_database: str, pool: Pool
) -> None:
    orders = [PoolOrder(f"1-{n}", "t", 1000.0, "default", 1, 1, n, "x") for n in range(1, 6)]
    queue = PgQueuerQueue()
    async with pool.acquire() as connection, connection.transaction():
        await queue.enqueue(connection, orders)
    async with pool.acquire() as connection, connection.transaction():
        first = await queue.dequeue(connection, ["default"], 2)
        more = await queue.dequeue(connection, ["default"], 10)
    assert [len(first), len(more)] == [2, 3]
    assert {offer.run for offer in (*first, *more)} == {order.id for order in orders}
