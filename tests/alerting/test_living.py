"""An incident in its chat: one message that changes, new ones for what must wake, buttons that fit."""

from __future__ import annotations

import pytest

from dozor.alerting.delivery.transport import (
    ChatMoved,
    EditOutcome,
    Gone,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Message
from dozor.control.commands.commands import AlertCommand
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage


@pytest.fixture
def post(stage: Stage) -> Post:
    return Post(stage)


def fail(stage: Stage, times: int) -> None:
    for _ in range(times):
        stage.story.fail()


async def test_a_warning_is_one_message_from_its_first_word_to_its_end(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    fail(stage, 1)
    await post.deliver(60)
    stage.story.succeed()
    await post.deliver(60)
    [shown] = post.messages
    assert [text.partition("\n")[0][:20] for text in shown.texts] == [
        f"⚠️ {NAME}: 3"[:20],
        f"⚠️ {NAME}: 4"[:20],
        f"✅ {NAME} снова"[:20],
    ]
    assert "4/5" in shown.texts[1]
    assert shown.actions == []
    states = await stage.pool.fetch("SELECT kind, state FROM dozor.notifications ORDER BY id")
    assert [tuple(row) for row in states] == [("repeated_errors", "delivered"), ("recovered", "delivered")]


async def test_a_critical_stop_and_its_recovery_are_new_messages_that_reply_to_the_first(
    stage: Stage, post: Post
) -> None:
    fail(stage, 3)
    await post.deliver(5)
    fail(stage, 2)
    await post.deliver(5)
    stage.story.restart()
    stage.story.succeed()
    await post.deliver(60)
    assert [header[:1] for header in post.headers] == ["✅", "✅", "✅"]
    assert [shown.message.reply_to for shown in post.messages] == [None, 1, 1]
    first, stop, recovered = post.messages
    assert stop.texts[0].startswith("🛑")
    assert stop.actions == []
    assert "Перезапуск: Telegram, id 111" in recovered.text
    assert first.texts[0].startswith("⚠️")
    assert first.actions == []  # the end is in every message
    assert "Перезапуск в" not in first.text


async def test_buttons_follow_the_state(stage: Stage, post: Post) -> None:
    fail(stage, 5)
    await post.deliver(5)
    stop = post.messages[-1]
    assert stop.actions == [
        f"a:restart:{NAME}",
        "a:ack:1",
        "a:silence-1h:1",
        "a:silence-4h:1",
        "a:silence-until:1",
        "a:traceback:1",
    ]
    stage.ask(AlertCommand.ACK, "1")
    await post.deliver(30)
    assert "👤 Принято: Telegram, id 111" in stop.text
    assert stop.actions[:2] == [f"a:restart:{NAME}", "a:unack:1"]
    stage.ask(AlertCommand.UNACK, "1")
    stage.ask(AlertCommand.SILENCE, "#1", seconds=3600)
    await post.deliver(30)
    assert "🔕 Тишина до" in stop.text
    assert stop.actions == [f"a:restart:{NAME}", "a:ack:1", "a:unsilence-incident:1", "a:traceback:1"]
    assert all(len(action.encode()) <= 64 for action in stop.actions)


async def test_edits_are_coalesced_and_leave_room_for_what_must_wake(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    for _ in range(120):
        stage.clock.at += 1
        stage.story.fail(after=0)
        stage.story.succeed(after=0)
        await post.deliver(0)
    # 20 a minute is all a group may take; edits keep five of them free.
    assert len(post.chat.calls) <= 5 + 40
    stage.story.fail(after=0)
    fail(stage, 4)
    before = len(post.messages)
    await post.deliver(0.0)
    assert len(post.messages) > before


async def test_an_edit_that_telegram_will_not_take_holds_up_no_other(stage: Stage, post: Post) -> None:
    """Every edit of the first message is answered with 502."""
    other = stage.new_task("other")
    for story in (stage.story, other):
        for _ in range(3):
            story.fail(after=0)
    await post.deliver(5)
    assert len(post.messages) == 2
    edit = post.chat.edit

    async def troubled(message: Message, message_id: int) -> EditOutcome:
        if message_id == 1:
            post.chat.calls.append(stage.clock.at)
            return Unavailable("HTTP 502")
        return await edit(message, message_id)

    post.chat.edit = troubled  # type: ignore[method-assign]
    stage.story.fail()
    other.fail()
    before = len(post.chat.calls)
    await post.deliver(60)
    assert "4/5" in post.messages[1].text
    assert "3/5" in post.messages[0].text
    assert len(post.chat.calls) - before < 12, "it is tried again, and less and less often"
    post.chat.edit = edit  # type: ignore[method-assign]
    await post.deliver(60)
    assert "4/5" in post.messages[0].text


async def test_an_end_that_no_edit_can_tell_is_told_by_a_message(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [Unavailable("HTTP 502")] * 100
    stage.story.succeed()
    await post.deliver(60)
    assert [header[:1] for header in post.headers] == ["⚠", "✅"]
    assert len(post.chat.edit_script) > 90


async def test_a_message_that_somebody_deleted_is_not_edited_for_ever(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [Gone("message to edit not found")]
    fail(stage, 1)
    await post.deliver(60)
    assert await stage.pool.fetchval("SELECT count(*) FROM dozor.living_messages") == 0
    stage.story.succeed()
    await post.deliver(60)
    assert [header[:1] for header in post.headers] == ["⚠", "✅"]  # then the recovery is a message of its own


async def test_firing_that_is_over_before_it_could_leave_becomes_one_line_of_the_past(
    stage: Stage, post: Post
) -> None:
    fail(stage, 5)
    stage.story.restart()
    stage.story.succeed()
    await post.deliver(60)
    [shown] = post.messages
    assert shown.text.startswith(f"✅ {NAME}: было сломано, уже работает")
    assert "ConnectionError: timed out" in shown.text
    states = [r["state"] for r in await stage.pool.fetch("SELECT state FROM dozor.notifications ORDER BY id")]
    assert states == ["delivered", "superseded", "superseded"]


async def test_a_recovery_is_told_only_where_the_trouble_was(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    stage.story.succeed()
    await stage.journal.write()
    await stage.pool.execute(
        "UPDATE dozor.notifications SET state = 'undeliverable' WHERE kind = 'repeated_errors'"
    )
    await post.deliver(60)
    assert post.messages == []


async def test_a_reminder_of_what_is_over_is_not_sent(stage: Stage, post: Post) -> None:
    fail(stage, 5)
    await post.deliver(5)
    stage.pass_time(1800)
    stage.story.restart()
    stage.story.succeed()
    await post.deliver(60)
    assert not any("всё ещё" in text for shown in post.messages for text in shown.texts)


async def test_told_to_wait_while_editing_it_waits_for_messages_too_and_after_a_restart(
    stage: Stage, post: Post
) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.edit_script = [RetryAfter(120.0)]
    fail(stage, 1)
    await post.deliver(1)
    calls = len(post.chat.calls)
    fail(stage, 1)  # a critical stop, a minute later
    again = Post(stage)
    again.chat = post.chat
    again.dispatcher.set_transport(post.chat, chat_id=-100)
    stage.clock.at -= 60
    await again.deliver(60)
    assert len(post.chat.calls) == calls
    await again.deliver(120)
    assert any(shown.texts[0].startswith("🛑") for shown in post.messages)


async def test_a_moved_chat_is_remembered_and_its_old_messages_left_alone(stage: Stage, post: Post) -> None:
    fail(stage, 3)
    await post.deliver(5)
    post.chat.script = [ChatMoved(-100500)]
    fail(stage, 2)
    await post.deliver(10)
    assert await stage.pool.fetchval("SELECT moved_to FROM dozor.destinations") == -100500
    assert len(post.messages) == 2
    moved: list[int] = []
    post.chat.move = moved.append  # type: ignore[attr-defined]
    post.dispatcher.set_transport(post.chat, chat_id=-100)
    await post.deliver(1)
    assert moved == [-100500]


async def test_a_dead_chat_is_told_of_once_and_its_return_as_well(stage: Stage) -> None:
    said: list[tuple[str, str | None]] = []
    post = Post(stage, on_dead=lambda key, reason: said.append((key, reason)))
    post.chat.script = [Rejected("bot was kicked from the group chat")] * 3
    fail(stage, 3)
    await post.deliver(3600)
    assert said == [("", "bot was kicked from the group chat"), ("", None)]
    assert len(post.console.delivered) == 1
    assert len(post.messages) == 1
    gaps = [b - a for a, b in zip(post.chat.calls, post.chat.calls[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 30


async def test_an_unknown_outcome_of_a_firing_leaves_one_marked_and_living(stage: Stage, post: Post) -> None:
    post.chat.script = [Unknown("timed out")]
    fail(stage, 3)
    await post.deliver(10)
    assert "Возможно, повтор" in post.messages[0].text
    stage.story.succeed()
    await post.deliver(60)
    assert post.messages[0].header.startswith("✅")
