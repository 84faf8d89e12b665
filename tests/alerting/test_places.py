"""A destination becomes another chat, topic or bot: no old message id is used, what is open is sent anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.delivery.destination import enter
from dozor.alerting.delivery.transport import ChatMoved, Outcome, Place, RetryAfter
from dozor.alerting.model.message import Message
from dozor.control.commands.commands import AlertCommand
from dozor.storage.tables import destinations
from dozor.storage.tables.destinations import DestinationRow
from tests.alerting.chat import Chat, Post
from tests.alerting.stage import NAME, Stage

FIRST = Place(-100, 17, 42)
OTHERS = {
    "chat": Place(-200, 17, 42),
    "topic": Place(-100, 18, 42),
    "no topic": Place(-100, 0, 42),
    "bot": Place(-100, 17, 43),
}


class Placed(Chat):
    """A chat of Telegram: its ids begin anew."""

    def __init__(self, stage: Stage, place: Place) -> None:
        super().__init__(stage)
        self.place = place

    async def send(self, message: Message) -> Outcome:
        outcome = await super().send(message)
        if isinstance(outcome, ChatMoved):
            self.move(outcome.chat_id)
        return outcome

    def move(self, chat_id: int) -> None:
        self.place = replace(self.place, chat_id=chat_id)


def at(stage: Stage, place: Place) -> Post:
    """As a runner configured for `place` delivers."""
    post = Post(stage)
    post.chat = Placed(stage, place)
    post.dispatcher.set_transport(post.chat, chat_id=place.chat_id)
    return post


def fail(stage: Stage, times: int) -> None:
    for _ in range(times):
        stage.story.fail()


@pytest.mark.parametrize("change", OTHERS)
async def test_what_is_open_is_sent_anew_and_nothing_of_the_old_place_is_used(
    stage: Stage, change: str
) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    after = at(stage, OTHERS[change])
    await after.deliver(5)
    [anew] = after.messages
    assert NAME in anew.header
    assert "Отправлено сюда заново" in anew.text
    assert anew.actions == before.messages[0].actions
    assert anew.message.reply_to is None
    assert not anew.message.silent
    fail(stage, 2)
    await after.deliver(30)
    assert after.messages[1].message.reply_to == 1  # of the new place
    stage.story.restart()
    stage.story.succeed()
    await after.deliver(30)
    assert after.messages[-1].header.startswith("✅")
    assert len(before.messages) == 1
    assert len(before.messages[0].versions) == 1


async def test_an_end_while_the_chat_changes_is_sent_and_edits_nothing(stage: Stage) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    other = stage.new_task("other")
    stage.story.succeed()
    after = at(stage, OTHERS["chat"])
    for _ in range(3):
        other.fail()
    await after.deliver(60)
    assert [shown.header[:1] for shown in after.messages] == ["✅", "⚠"]
    assert all(len(shown.versions) == 1 for shown in after.messages)  # no id of the old chat was edited
    assert all(shown.message.reply_to is None for shown in after.messages)


async def test_an_acknowledged_incident_is_sent_anew_without_a_sound(stage: Stage) -> None:
    before = at(stage, FIRST)
    fail(stage, 5)
    await before.deliver(60)
    stage.ask(AlertCommand.ACK, "1")
    after = at(stage, OTHERS["bot"])
    await after.deliver(60)
    [anew] = after.messages
    assert anew.message.silent
    assert "👤" in anew.text


async def test_a_storm_is_sent_anew_as_one(stage: Stage) -> None:
    before = at(stage, FIRST)
    stories = [stage.new_task(f"task_{number}") for number in range(12)]
    for story in stories:
        for _ in range(3):
            story.fail(after=0)
    await before.deliver(120)
    after = at(stage, OTHERS["chat"])
    await after.deliver(240)
    assert sum("многих задачах" in shown.header for shown in after.messages) == 1
    assert len(after.messages) <= len(before.messages)


async def test_the_same_place_after_a_restart_changes_nothing(stage: Stage) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    after = at(stage, FIRST)
    after.chat.messages = before.chat.messages
    fail(stage, 1)
    await after.deliver(60)
    assert len(after.messages) == 1
    assert len(after.messages[0].versions) == 2


async def test_a_chat_that_became_another_gets_what_is_open_and_keeps_it_when_configured(
    stage: Stage,
) -> None:
    post = at(stage, FIRST)
    fail(stage, 3)
    await post.deliver(5)
    other = stage.new_task("other")
    post.chat.script = [ChatMoved(-100500)]
    for _ in range(3):
        other.fail()
    await post.deliver(60)
    assert sorted(shown.message.reply_to is None for shown in post.messages) == [True] * 3
    assert [NAME in shown.header for shown in post.messages] == [True, False, True]
    followed = at(stage, Place(-100500, 17, 42))  # the configuration follows
    followed.chat.messages = post.chat.messages
    await followed.deliver(60)
    assert len(followed.messages) == 3
    [row] = (await destinations.read_all(stage.pool)).values()
    assert (row.chat_id, row.moved_to) == (-100500, None)


async def test_a_place_met_by_something_else_than_a_message_counts_as_well(stage: Stage) -> None:
    post = at(stage, FIRST)
    fail(stage, 3)
    await post.deliver(5)
    assert isinstance(post.chat, Placed)
    post.chat.move(-100500)  # by a file, or a message past the database
    await post.deliver(30)
    assert len(post.messages) == 2
    assert await stage.pool.fetchval("SELECT moved_to FROM dozor.destinations") == -100500


@pytest.mark.parametrize("change", OTHERS)
async def test_what_the_place_has_already_is_edited_there_and_not_sent_again(
    stage: Stage, change: str
) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    between = at(stage, OTHERS[change])
    await between.deliver(20)
    assert len(between.messages) == 1
    fail(stage, 1)
    after = at(stage, FIRST)  # the change was taken back
    after.chat.messages = before.chat.messages
    await after.deliver(60)
    assert len(after.messages) == 1
    assert len(after.messages[0].versions) == 2
    fail(stage, 1)
    await after.deliver(60)
    assert after.messages[1].message.reply_to == 1


async def test_a_change_taken_back_before_anything_left_sends_nothing(stage: Stage) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    between = at(stage, OTHERS["chat"])
    between.chat.script = [RetryAfter(600)]
    await between.deliver(5)
    after = at(stage, FIRST)
    after.chat.messages = before.chat.messages
    await after.deliver(700)
    assert between.messages == []
    assert len(after.messages) == 1


async def test_what_got_worse_elsewhere_is_sent_to_the_place_that_does_not_know(stage: Stage) -> None:
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    between = at(stage, OTHERS["chat"])
    fail(stage, 2)
    await between.deliver(60)
    after = at(stage, FIRST)
    after.chat.messages = before.chat.messages
    await after.deliver(60)
    assert len(after.messages) == 2
    assert after.messages[1].header.startswith("🛑")


async def test_a_chat_that_moves_again_after_a_change_taken_back_sends_nothing(stage: Stage) -> None:
    post = at(stage, FIRST)
    fail(stage, 3)
    await post.deliver(5)
    assert isinstance(post.chat, Placed)
    post.chat.move(-100500)
    await post.deliver(30)
    assert len(post.messages) == 2
    between = at(stage, OTHERS["chat"])
    await between.deliver(30)
    again = at(stage, FIRST)  # which has become -100500
    again.chat.messages = post.chat.messages
    assert isinstance(again.chat, Placed)
    again.chat.move(-100500)
    await again.deliver(60)
    assert len(again.messages) == 2


async def test_a_message_past_the_database_in_the_new_chat_is_not_followed_by_another(stage: Stage) -> None:
    post = at(stage, FIRST)
    fail(stage, 3)
    await post.deliver(5)
    fail(stage, 2)
    await stage.journal.write()
    assert isinstance(post.chat, Placed)
    post.chat.move(-100500)
    [(key,)] = await stage.pool.fetch("SELECT key FROM dozor.notifications WHERE kind = 'critical_stop'")
    direct = post.dispatcher.directly
    direct.delivered[key], direct.place = 2, post.chat.place  # as the outage sender notes it
    post.chat.messages *= 2
    await post.deliver(60)
    assert len(post.messages) == 2


async def test_nothing_is_sent_anew_before_the_journal_is_written(stage: Stage) -> None:
    lagging = [True]
    post = Post(stage, lagging=lambda: lagging[0])
    before = at(stage, FIRST)
    fail(stage, 3)
    await before.deliver(5)
    post.chat = Placed(stage, OTHERS["chat"])
    post.dispatcher.set_transport(post.chat, chat_id=-200)
    await post.dispatcher.deliver_next()
    assert await stage.pool.fetchval("SELECT count(*) FROM dozor.notifications WHERE key LIKE 'anew-%'") == 0
    lagging[0] = False
    await post.deliver(30)
    assert len(post.messages) == 1


KNOWN = DestinationRow(
    key="",
    chat_id=-100,
    moved_to=-500,
    held_until=9.0,
    dead_since=1.0,
    dead_reason="x",
    thread_id=0,
    bot_id=42,
)


@pytest.mark.parametrize(
    ("stored", "place", "moved_to", "dead", "replaced"),
    [
        (None, Place(-100, 0, 42), None, False, False),
        (KNOWN, Place(-100, 0, 42), -500, True, False),
        (KNOWN, Place(-100), -500, True, False),
        (KNOWN, Place(-500, 0, 42), None, False, False),
        (KNOWN, Place(-100, 7, 42), -500, False, True),
        (KNOWN, Place(-100, 0, 43), -500, False, True),
        (KNOWN, Place(-200, 0, 42), None, False, True),
        (
            replace(KNOWN, thread_id=None, bot_id=None),
            Place(-100, 7, 43),
            -500,
            True,
            False,
        ),  # of version 0.1
    ],
)
def test_what_is_known_of_a_place(
    stored: DestinationRow | None, place: Place, moved_to: int | None, dead: bool, replaced: bool
) -> None:
    row, elsewhere = enter(stored, "", place)
    assert (row.moved_to, row.dead_since is not None, elsewhere) == (moved_to, dead, replaced)
    assert row.chat_id == place.chat_id
    assert row.bot_id == (place.bot_id or 42)
