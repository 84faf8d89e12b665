"""A delivery worker between two steps: waiting messages, failing edits, the cause of a refusal."""

from __future__ import annotations

import pytest

from dozor.alerting.delivery.destination import FIRST_PAUSE, LONGEST_REST
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditOutcome,
    Outcome,
    Rejected,
    RetryAfter,
    Unavailable,
)
from dozor.alerting.delivery.worker import BEHIND_PAUSE
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.config.values.incident_kinds import Severity
from dozor.control.commands.commands import AlertCommand
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import destinations, notifications
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.destinations import DestinationRow
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage
from tests.alerting.test_wakeup import rows


@pytest.fixture
def post(stage: Stage) -> Post:
    return Post(stage)


def fail(stage: Stage, times: int, after: float = 60.0) -> None:
    for _ in range(times):
        stage.story.fail(after=after)


async def test_what_had_to_wait_is_told_as_it_is_when_it_leaves(stage: Stage, post: Post) -> None:
    """The chat is told to wait by an answer of the bot, between the commit and the send."""
    fail(stage, 3, after=0)
    await stage.journal.write()
    post.dispatcher.paces.of(-100).hold(stage.clock.at + 30)
    assert await post.dispatcher.deliver_next() == 30
    assert await rows(stage) == [("pending", 0, 0)]
    stage.clock.at += 20
    stage.story.succeed(after=0)
    await post.deliver(60)
    [shown] = post.messages
    assert shown.header.startswith(f"✅ {NAME}: было сломано")
    assert "Возможно, повтор" not in shown.text


async def test_nothing_leaves_before_what_waits_for_its_time(stage: Stage, post: Post) -> None:
    post.dispatcher.paces.of(-100).hold(stage.clock.at + 5)
    fail(stage, 3, after=0)
    await stage.journal.write()
    assert await post.dispatcher.deliver_next() == 5
    stage.clock.at += 5
    other = stage.new_task("other")
    for _ in range(3):
        other.fail(after=0)
    await stage.journal.write()
    await post.deliver(10)
    assert [header.split()[1] for header in post.headers] == [f"{NAME}:", "other:"]


async def test_edits_that_fail_hold_up_no_message(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [Unavailable("502")] * 7
    stage.story.fail()
    await post.deliver(600)
    assert "4/5" in post.messages[0].text
    post.chat.edit_script = [Unavailable("502")]
    stage.ask(AlertCommand.ACK, "1")
    await post.deliver(0)
    assert post.chat.edit_script == []
    stage.story.fail(after=0)  # it stops
    began = stage.clock.at
    await post.deliver(10)
    assert post.messages[-1].texts[0].startswith("🛑")
    assert post.messages[-1].at == began


async def test_edits_that_fail_are_tried_less_and_less_often_until_one_is_taken(
    stage: Stage, post: Post
) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [Unavailable("502")] * 5
    before = len(post.chat.calls)
    stage.story.fail()
    await post.deliver(120)
    gaps = [b - a for a, b in zip(post.chat.calls[before:], post.chat.calls[before + 1 :], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == FIRST_PAUSE * 16
    assert "4/5" in post.messages[0].text


async def test_what_is_not_worth_sending_proves_nothing_about_a_chat_that_refuses(
    stage: Stage, post: Post, pool: Pool
) -> None:
    """Every form of every message is refused; the next one in line had expired."""
    fail(stage, 3)
    await stage.journal.write()
    stale = Notification(
        key="stale",
        kind=NotificationKind.REMINDER,
        severity=Severity.WARNING,
        created_at=stage.clock.at,
        facts=AlertData(text="old"),
        expires_at=stage.clock.at + 1,
    )
    async with pool.acquire() as connection:
        await notifications.enqueue(connection, [to_row(stale)])
    post.chat.script = [Rejected("refused in every form", of_message=True)] * 8
    await post.deliver(3 * 3600)
    [state] = [
        row["state"]
        for row in await pool.fetch("SELECT state FROM dozor.notifications WHERE kind = 'repeated_errors'")
    ]
    assert state == "delivered"


async def test_a_chat_that_has_moved_is_remembered_when_its_old_messages_are_forgotten(
    stage: Stage, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the next process must not take an old id for one of the new chat."""
    fail(stage, 3)
    await post.deliver(5)
    post.chat.script = [ChatMoved(-100500)]

    order: list[str] = []
    for module, name in ((destinations, "write"), (living, "forget_all")):
        real = getattr(module, name)

        async def note(*args: object, real: object = real, name: str = name) -> object:
            order.append(name)
            return await real(*args)  # type: ignore[operator]

        monkeypatch.setattr(module, name, note)
    fail(stage, 2)
    await post.deliver(10)
    assert order[:2] == ["forget_all", "write"]


async def test_a_wait_remembered_by_a_clock_that_was_ahead_does_not_close_the_chat_for_days(
    stage: Stage, post: Post
) -> None:
    ahead = stage.clock.at + 86_400
    row = DestinationRow(key="", chat_id=-100, held_until=ahead)
    await destinations.write(stage.pool, row)
    fail(stage, 3)
    began = stage.clock.at
    await post.deliver(86_400)
    assert post.messages[0].at - began <= LONGEST_REST


async def test_calls_of_a_clock_that_was_ahead_do_not_use_up_the_pace(stage: Stage, post: Post) -> None:
    for number in range(40):
        await stage.pool.execute(
            "INSERT INTO dozor.living_messages (destination, incident_id, first_id, message_id, shown_at, "
            "edited_at) VALUES ('', $1, 1, 1, now(), to_timestamp($2))",
            1000 + number,
            stage.clock.at + 3600 + number,
        )
    fail(stage, 3)
    began = stage.clock.at
    await post.deliver(600)
    assert post.messages[0].at - began < 5


async def test_told_to_wait_while_it_edits_messages_wait_as_well(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [RetryAfter(50.0)]
    stage.story.fail()
    await post.deliver(1)
    stage.clock.at -= 60
    stage.story.fail()
    began = stage.clock.at
    await post.deliver(120)
    assert post.messages[-1].at - began >= 49


async def test_a_defect_in_a_transport_costs_no_other_message_and_stops_no_lane(
    stage: Stage, post: Post, pool: Pool
) -> None:
    def broken(message: Message) -> Outcome:
        if message.plain.startswith("⚠️ bad"):
            raise TypeError("no such thing")
        return Delivered(1)

    post.chat.script = [broken] * 50
    for name in ("bad", "good", "better"):
        story = stage.new_task(name)
        for _ in range(3):
            story.fail(after=0)
    await post.deliver(3600)
    assert [header.split()[1] for header in post.headers] == ["good:", "better:"]
    assert any(text.startswith("⚠️ bad") for text in post.console.delivered)
    states = await pool.fetch("SELECT task, state FROM dozor.notifications ORDER BY id")
    assert [tuple(row) for row in states] == [
        ("bad", "undeliverable"),
        ("good", "delivered"),
        ("better", "delivered"),
    ]


async def test_a_defect_in_an_edit_stops_no_lane(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)

    async def broken(message: Message, message_id: int) -> EditOutcome:
        raise TypeError("no such thing")

    post.chat.edit = broken  # type: ignore[method-assign]
    fail(stage, 1)
    await post.deliver(60)
    fail(stage, 1)
    await post.deliver(60)
    assert post.messages[-1].texts[0].startswith("🛑")


async def post_with_a_message_owed(stage: Stage) -> Post:
    """Its dispatcher knows when the journal is behind."""
    post = Post(stage, lagging=lambda: stage.journal.behind)
    for _ in range(3):
        stage.story.fail(after=0)
    await stage.journal.write()
    return post


async def test_what_is_over_but_not_yet_written_is_not_told_as_current(stage: Stage) -> None:
    """After a freeze the workers may have the database before the journal has."""
    post = await post_with_a_message_owed(stage)
    stage.story.succeed(after=1)
    stage.clock.at += 10.0
    assert await post.dispatcher.deliver_next() == BEHIND_PAUSE
    assert post.messages == []
    await post.deliver(60)
    assert [header for header in post.headers if header.startswith("⚠️")] == []
    assert "было сломано" in post.headers[0]


async def test_a_journal_that_never_writes_holds_up_nobody_for_ever(stage: Stage) -> None:
    post = await post_with_a_message_owed(stage)
    stage.story.fail(after=1)
    stage.clock.at += 601.0
    assert await post.dispatcher.deliver_next() == 0.0
    assert len(post.messages) == 1


async def test_the_next_process_says_of_a_chat_that_takes_messages_again_what_the_last_could_not(
    stage: Stage,
) -> None:
    """Killed between learning of it and saying so, it would leave the refusal open for ever."""
    await destinations.write(stage.pool, DestinationRow(key="", chat_id=-100))
    await destinations.write(
        stage.pool, DestinationRow(key="111", chat_id=111, dead_since=stage.clock.at, dead_reason="blocked")
    )
    said: list[tuple[str, str | None]] = []
    post = Post(stage, on_dead=lambda key, reason: said.append((key, reason)))
    await post.dispatcher.deliver_next()
    assert said == [("", None)]
