"""What can leave at once is claimed as it is written: one commit between an exception and its message."""

from __future__ import annotations

import asyncio

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.policy.routes import Route, Routing
from tests.alerting.chat import Chat, Post
from tests.alerting.room import Room
from tests.bot.executor import until_true
from tests.waiting import until


class Straight:
    """A room whose journal and dispatcher know each other, as in the runner; real lanes run."""

    def __init__(self, room: Room) -> None:
        self.room, self.post = room, Post(room)
        self.dispatcher: Dispatcher = self.post.dispatcher
        self.join(room)
        self.running = asyncio.create_task(self.dispatcher.run())

    def join(self, room: Room) -> None:
        journal = room.journal
        journal.on_notifications = self.dispatcher.wake
        journal.reserve, journal.handed_over = self.dispatcher.reserve, self.dispatcher.handed_over

    async def idle(self) -> None:
        """The lane has looked and found nothing."""
        await until(lambda: bool(self.dispatcher._lanes) and self.dispatcher._lanes[""]._idle)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


async def rows(room: Room) -> list[tuple[str, int, int]]:
    found = await room.pool.fetch(
        "SELECT state, attempts, unknown_outcomes FROM dozor.notifications ORDER BY id"
    )
    return [tuple(row) for row in found]


async def test_an_alert_leaves_without_being_claimed_and_is_settled_as_any_other(room: Room) -> None:
    straight = Straight(room)
    await straight.idle()
    for _ in range(3):
        room.story.fail(after=0)
    await room.journal.write()
    await until(lambda: len(straight.post.messages) == 1)
    await straight.idle()
    assert await rows(room) == [("delivered", 1, 0)]
    assert await room.pool.fetchval("SELECT count(*) FROM dozor.living_messages") == 1
    await straight.end()


async def test_what_has_something_before_it_waits_its_turn(room: Room) -> None:
    straight = Straight(room)
    await straight.idle()
    stories = [room.new_task(name) for name in ("one", "two", "three")]
    for story in stories:
        for _ in range(3):
            story.fail(after=0)
    await room.journal.write()
    await until_true(room.pool, "SELECT count(*) = 3 FROM dozor.notifications WHERE state = 'delivered'")
    assert [shown.header.split()[1] for shown in straight.post.messages] == ["one:", "two:", "three:"]
    assert await rows(room) == [("delivered", 1, 0)] * 3
    await straight.end()


async def test_a_commit_that_failed_hands_nothing_over(room: Room) -> None:
    straight = Straight(room)
    await straight.idle()
    real, failures = room.journal._at_once, 1

    async def fail_once(*batch: object) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            row = batch[1].owed[0]  # type: ignore[attr-defined]
            assert straight.dispatcher.reserve(row, None) in (True, False)
            straight.dispatcher.handed_over(None)
            raise ConnectionResetError("away")
        await real(*batch)  # type: ignore[arg-type]

    room.journal._at_once = fail_once  # type: ignore[assignment, method-assign]
    for _ in range(3):
        room.story.fail(after=0)
    await room.journal.write()
    await until(lambda: len(straight.post.messages) == 1)
    await straight.idle()
    assert await rows(room) == [("delivered", 1, 0)]
    await straight.end()


async def test_a_process_that_dies_between_commit_and_send_sends_it_marked(room: Room) -> None:
    straight = Straight(room)
    await straight.idle()
    await straight.end()  # the lane is reserved, and nobody serves it any more
    straight.dispatcher._tasks[""] = asyncio.create_task(asyncio.sleep(0))
    for _ in range(3):
        room.story.fail(after=0)
    await room.journal.write()
    assert await rows(room) == [("sending", 1, 0)]
    successor = Post(room)
    await successor.deliver(10)
    assert "Возможно, повтор" in successor.messages[0].text
    assert (await rows(room))[0][0] == "delivered"


async def test_a_chat_that_shows_too_little_is_brought_up_to_date_after_a_restart(room: Room) -> None:
    """Though nothing is owed there."""
    post = Post(room)
    second = Chat(room)
    room.furnish(routes=Routing([Route(destination="200")]))
    for _ in range(3):
        room.story.fail(after=0)
    await room.journal.write()
    post.dispatcher.use(post.chat, lambda key: (second, 200), chat_id=-100)
    await post.dispatcher.deliver_next("200")
    assert len(second.messages) == 1
    room.story.fail(after=60)  # nobody is owed a word about the fourth
    await room.journal.write()
    again = Post(room)
    again.dispatcher.use(again.chat, lambda key: (second, 200), chat_id=-100)
    room.clock.at += 60.0
    running = asyncio.create_task(again.dispatcher.run())
    await until(lambda: len(second.messages[0].texts) == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
