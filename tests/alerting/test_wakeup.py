"""A commit wakes the dispatcher: claimed, sent and settled at once, in order, and unmarked when it is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dozor.alerting.policy.routes import Route, Routing
from tests.alerting.chat import Chat, Post
from tests.alerting.stage import Stage
from tests.waiting import until


@asynccontextmanager
async def delivering(stage: Stage) -> AsyncIterator[Post]:
    """A dispatcher that runs and is woken by the journal's commits, as in the runner."""
    post = Post(stage)
    stage.journal.subscribe(post.dispatcher.wake)
    running = asyncio.create_task(post.dispatcher.run())
    await asyncio.wait_for(post.dispatcher.idle(), 10)
    try:
        yield post
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def rows(stage: Stage) -> list[tuple[str, int, int]]:
    found = await stage.pool.fetch(
        "SELECT state, attempts, unknown_outcomes FROM dozor.notifications ORDER BY id"
    )
    return [tuple(row) for row in found]


async def test_an_alert_is_delivered_once_and_settled(stage: Stage) -> None:
    async with delivering(stage) as post:
        for _ in range(3):
            stage.story.fail(after=0)
        await stage.journal.write()
        await until(lambda: len(post.messages) == 1)
        await post.dispatcher.idle()
    assert await rows(stage) == [("delivered", 1, 0)]
    assert await stage.pool.fetchval("SELECT count(*) FROM dozor.living_messages") == 1


async def test_messages_of_one_commit_leave_in_order(stage: Stage) -> None:
    stories = [stage.new_task(name) for name in ("one", "two", "three")]
    async with delivering(stage) as post:
        for story in stories:
            for _ in range(3):
                story.fail(after=0)
        await stage.journal.write()
        await until(lambda: len(post.messages) == 3)
        await post.dispatcher.idle()
    assert [shown.header.split()[1] for shown in post.messages] == ["one:", "two:", "three:"]
    assert await rows(stage) == [("delivered", 1, 0)] * 3


async def test_a_commit_that_failed_sends_nothing_and_its_repeat_sends_it_once(stage: Stage) -> None:
    real, failures = stage.journal._transact, 1

    async def fail_once(*batch: object) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionResetError("away")
        await real(*batch)  # type: ignore[arg-type]

    stage.journal._transact = fail_once  # type: ignore[assignment, method-assign]
    async with delivering(stage) as post:
        for _ in range(3):
            stage.story.fail(after=0)
        await stage.journal.write()
        await until(lambda: len(post.messages) == 1)
        await post.dispatcher.idle()
    assert failures == 0
    assert await rows(stage) == [("delivered", 1, 0)]


async def test_a_message_whose_process_died_before_it_was_claimed_is_sent_unmarked(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail(after=0)
    await stage.journal.write()
    assert await rows(stage) == [("pending", 0, 0)]
    successor = Post(stage)
    await successor.deliver(10)
    assert "Возможно, повтор" not in successor.messages[0].text
    assert await rows(stage) == [("delivered", 1, 0)]


async def test_a_chat_that_shows_too_little_is_brought_up_to_date_after_a_restart(stage: Stage) -> None:
    """Though nothing is owed there."""
    post = Post(stage)
    second = Chat(stage)
    stage.furnish(routes=Routing([Route(destination="200")]))
    for _ in range(3):
        stage.story.fail(after=0)
    await stage.journal.write()
    post.dispatcher.set_transport(post.chat, lambda key: (second, 200), chat_id=-100)
    await post.dispatcher.deliver_next("200")
    assert len(second.messages) == 1
    stage.story.fail(after=60)  # nobody is owed a word about the fourth
    await stage.journal.write()
    again = Post(stage)
    again.dispatcher.set_transport(again.chat, lambda key: (second, 200), chat_id=-100)
    stage.clock.at += 60.0
    running = asyncio.create_task(again.dispatcher.run())
    await until(lambda: len(second.messages[0].texts) == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
