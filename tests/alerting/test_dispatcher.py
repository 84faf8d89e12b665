"""Deliveries against a real outbox: every outcome, a process that is killed, a database that goes away."""

from __future__ import annotations

import asyncio

import pytest

from dozor.alerting.delivery.destination import FIRST_PAUSE, FIRST_REST, LONGEST_PAUSE
from dozor.alerting.delivery.dispatcher import DeliveryAttempt, Dispatcher
from dozor.alerting.delivery.transport import ChatMoved, Delivered, Rejected, RetryAfter, Unavailable, Unknown
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.message import Message, Span
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.clock import SteadyClock
from dozor.config.values.incident_kinds import Severity
from dozor.storage.postgres.pool import Pool, connect, create_pool
from dozor.storage.tables import notifications
from tests.alerting.scripted import Scripted
from tests.alerting.story import NOW, ManualClock
from tests.server import PostgresControl
from tests.waiting import until


class Plainly:
    """The text alone."""

    def notification(self, notification: Notification, incident: Incident | None = None) -> Message:
        mark = " (again?)" if notification.possible_duplicate else ""
        return Message(spans=(Span(f"{notification.facts.text}{mark}"),))

    def live(self, incident: Incident, storm: object, *, retold: bool = False) -> Message:
        return Message(spans=(Span(f"{incident.task} {incident.state} {incident.failures}"),))


async def owe(dsn: str, *texts: str) -> None:
    connection = await connect(dsn)
    rows = [
        to_row(
            Notification(
                key=text,
                kind=NotificationKind.CHECKER,
                severity=Severity.WARNING,
                created_at=NOW,
                task="a",
                facts=AlertData(text=text),
            )
        )
        for text in texts
    ]
    await notifications.enqueue(connection, rows)
    connection.terminate()
    await asyncio.sleep(0)


class Bench:
    """A dispatcher whose transport and console are scripted."""

    def __init__(self, pool: Pool, *script: object) -> None:
        self.pool = pool
        self.clock = ManualClock()
        self.telegram = Scripted(*script)  # type: ignore[arg-type]
        self.console = Scripted(name="console")
        self.sent: list[DeliveryAttempt] = []
        self.dispatcher = self.another()

    def another(self) -> Dispatcher:
        """As after a restart of the process."""
        return Dispatcher(
            self.pool,
            self.telegram,
            self.console,
            Plainly(),
            self.clock,
            on_attempt=[lambda attempt: self.sent.append(attempt)],
        )

    async def step(self) -> float | None:
        """One step; then as much time passes as it asks for."""
        pause = await self.dispatcher.deliver_next()
        self.clock.at += pause or 0.0
        return pause

    async def all(self) -> None:
        while await self.step() is not None:
            pass

    async def states(self) -> list[str]:
        return [
            r["state"] for r in await self.pool.fetch("SELECT state FROM dozor.notifications ORDER BY id")
        ]


@pytest.fixture
async def bench(pool: Pool) -> Bench:
    return Bench(pool)


async def test_messages_leave_in_the_order_in_which_they_were_owed(bench: Bench, database: str) -> None:
    await owe(database, "one", "two", "three")
    await bench.all()
    assert bench.telegram.delivered == ["one", "two", "three"]
    rows = await bench.pool.fetch(
        "SELECT state, transport, message_id, attempts FROM dozor.notifications ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("delivered", "telegram", n, 1) for n in (1, 2, 3)]
    assert [(sent.kind, sent.outcome) for sent in bench.sent] == [("checker", "delivered")] * 3


async def test_told_to_wait_it_waits_as_long_and_the_message_is_no_duplicate(
    bench: Bench, database: str
) -> None:
    await owe(database, "one")
    bench.telegram.script = [RetryAfter(17.0)]
    assert await bench.step() == 17.0
    assert await bench.step() == 0.0
    assert bench.telegram.delivered == ["one"]


async def test_a_moved_chat_gets_the_message_at_once(bench: Bench, database: str) -> None:
    await owe(database, "one")
    bench.telegram.script = [ChatMoved(-100500)]
    assert await bench.step() == 0.0
    await bench.step()
    assert bench.telegram.delivered == ["one"]


async def test_a_chat_that_moves_for_ever_is_not_asked_in_a_tight_loop(bench: Bench, database: str) -> None:
    await owe(database, "one")
    bench.telegram.script = [ChatMoved(-1), ChatMoved(-2), ChatMoved(-1)]
    assert [await bench.step() for _ in range(3)] == [0.0, FIRST_PAUSE, FIRST_PAUSE * 2]


async def test_while_it_is_away_pauses_grow_to_a_bound_and_shrink_after_a_delivery(
    bench: Bench, database: str
) -> None:
    await owe(database, "one", "two")
    bench.telegram.script = [Unavailable("502")] * 9
    pauses = [await bench.step() for _ in range(9)]
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE
    await bench.step()
    assert bench.telegram.delivered == ["one"]  # certainly not delivered before: no mark
    bench.telegram.script = [Unavailable("502")]
    assert await bench.step() == FIRST_PAUSE


async def test_an_unknown_outcome_is_sent_again_and_marked(bench: Bench, database: str) -> None:
    await owe(database, "one", "two")
    bench.telegram.script = [Unknown("timed out")]
    await bench.all()
    assert bench.telegram.delivered == ["one (again?)", "two"]


async def test_a_process_that_dies_between_send_and_settle_sends_again_and_marks_it(
    bench: Bench, database: str
) -> None:
    await owe(database, "one", "two")
    bench.telegram.hang = asyncio.Event()
    dying = asyncio.create_task(bench.step())
    await bench.telegram.hang.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    bench.telegram.hang = None
    successor = bench.another()
    bench.dispatcher = successor
    await bench.all()
    assert bench.telegram.delivered == ["one (again?)", "two"]


async def test_a_refusing_chat_costs_nothing_the_console_shows_it_and_it_is_owed_still(
    bench: Bench, database: str
) -> None:
    await owe(database, "one", "two", "three")
    refusal = Rejected("bot was kicked from the group chat")
    bench.telegram.script = [refusal] * 12
    rests = [await bench.step() for _ in range(4)]
    assert rests[0] == FIRST_REST
    assert rests == sorted(rests, key=lambda rest: rest or 0.0)
    assert bench.dispatcher.refused == refusal.reason
    assert bench.console.delivered == ["one", "two", "three"]  # each once
    assert await bench.states() == ["pending"] * 3
    bench.telegram.script = []
    await bench.all()
    assert bench.telegram.delivered == ["one", "two", "three"]
    assert bench.dispatcher.refused is None


async def test_a_message_that_alone_is_refused_does_not_hold_up_the_others(
    bench: Bench, database: str
) -> None:
    await owe(database, "bad", "two", "three")

    def refuse_bad(message: Message) -> Rejected | Delivered:
        return Rejected("some new rule", of_message=True) if message.plain == "bad" else Delivered(1)

    bench.telegram.script = [refuse_bad] * 30
    for _ in range(8):
        await bench.step()
    assert bench.telegram.delivered == ["two", "three"]
    assert bench.console.delivered[0] == "bad"
    assert await bench.states() == ["undeliverable", "delivered", "delivered"]


async def test_a_chat_that_begins_to_take_messages_in_the_middle_loses_none(
    bench: Bench, database: str
) -> None:
    """The one refused before is not to blame because the next one got through."""
    await owe(database, "one", "two")
    bench.telegram.script = [Rejected("refused in every form", of_message=True)] * 3
    await bench.all()
    assert sorted(bench.telegram.delivered) == ["one", "two"]
    assert await bench.states() == ["delivered", "delivered"]


async def test_the_last_message_refused_alone_is_kept(bench: Bench, database: str) -> None:
    await owe(database, "bad")
    bench.telegram.script = [Rejected("no", of_message=True)] * 5
    for _ in range(5):
        await bench.step()
    assert await bench.states() == ["pending"]
    await bench.step()
    assert bench.telegram.delivered == ["bad"]


async def test_a_database_that_goes_away_while_settling_is_waited_for(
    postgres_control: PostgresControl,
) -> None:
    await owe(postgres_control.dsn, "one", "two")
    pool = await create_pool(postgres_control.dsn, min_size=1, max_size=2)
    bench = Bench(pool)

    def stop_then_deliver(message: Message) -> Delivered:
        postgres_control.kill()
        return Delivered(7)

    bench.telegram.script = [stop_then_deliver]
    asked: list[None] = []
    bench.dispatcher._context.alive = lambda: asked.append(None)
    delivering = asyncio.create_task(bench.step())
    await until(lambda: bool(bench.telegram.delivered), within=20)
    await until(lambda: len(asked) >= 3, within=20)  # in vain
    assert not delivering.done()
    await asyncio.to_thread(postgres_control.start)
    async with asyncio.timeout(20):
        await delivering
    await bench.all()
    assert bench.telegram.delivered == ["one", "two"]
    assert await bench.states() == ["delivered", "delivered"]
    pool.terminate()
    await asyncio.sleep(0)


async def test_a_new_transport_is_used_at_once(bench: Bench, database: str) -> None:
    await owe(database, "one")
    bench.telegram.script = [Unavailable("no")] * 100
    bench.dispatcher = Dispatcher(bench.pool, bench.telegram, bench.console, Plainly(), SteadyClock())
    running = asyncio.create_task(bench.dispatcher.run())
    await until(lambda: bool(bench.telegram.attempts))
    other = Scripted()
    bench.dispatcher.set_transport(other)
    await until(lambda: other.delivered == ["one"], within=5)
    await owe(database, "two")
    bench.dispatcher.wake()
    await until(lambda: other.delivered == ["one", "two"], within=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
