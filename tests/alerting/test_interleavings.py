"""What changes while something else is under way: between claim and answer, in one tick, across a storm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.alerting.message import Message
from runner.alerting.storm import AT_ONCE, FEW
from runner.alerting.transport import Outcome
from tests.alerting.chat import Chat, Post
from tests.alerting.room import Room
from tests.alerting.story import Story, failure


@pytest.fixture
def post(room: Room) -> Post:
    return Post(room)


class Meanwhile(Chat):
    """A chat in which something happens while a message is on its way."""

    async def send(self, message: Message) -> Outcome:
        happens = self.happens
        if happens is not None and message.plain.startswith(self.at):
            self.happens = None
            happens()
            await self._room.journal.write()
        return await super().send(message)

    happens: Callable[[], None] | None = None
    at = ""
    """How the message begins."""


def meanwhile(post: Post) -> Meanwhile:
    post.chat = Meanwhile(post.room)
    post.dispatcher.use(post.chat, chat_id=-100)
    return post.chat


def together(room: Room, count: int, times: int = 3, first: int = 0) -> list[Story]:
    stories = [room.new_task(f"task_{number:04}") for number in range(first, first + count)]
    again(stories, times)
    return stories


def again(stories: list[Story], times: int) -> None:
    for _ in range(times):
        for story in stories:
            story.fail(failure("refused", where="wallet.py:7 in ask"), after=0)


async def test_what_breaks_again_while_its_past_is_told_is_told(room: Room, post: Post) -> None:
    chat = meanwhile(post)
    for _ in range(5):
        room.story.fail()
    room.story.restart()
    room.story.succeed()

    def stop_again() -> None:
        for _ in range(5):
            room.story.fail(after=1)

    chat.happens = stop_again
    await post.deliver(60)
    assert [shown.texts[0][:1] for shown in post.messages] == ["✅", "⚠", "🛑"]


async def test_a_storm_that_becomes_critical_while_its_digest_leaves_is_told_anew(
    room: Room, post: Post
) -> None:
    chat = meanwhile(post)
    stories = together(room, FEW + 1)

    def stop() -> None:
        room.clock.at += 1
        again(stories[-1:], 2)

    chat.happens, chat.at = stop, "⚠️ Сбои"
    await post.deliver(60)
    assert [shown.texts[0][:1] for shown in post.messages[AT_ONCE:]] == ["⚠", "🔴"]
