"""A chat that urgent messages cannot reach for long is reported, and shown on the console."""

from __future__ import annotations

import asyncio

import pytest

from dozor.alerting.delivery.transport import Outcome, RetryAfter, Unavailable
from dozor.alerting.delivery.worker import UNDELIVERED
from dozor.control.queries.status import read_status
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage


def stop(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail(after=0)


def reported(stage: Stage) -> tuple[Post, list[tuple[str, bool]]]:
    said: list[tuple[str, bool]] = []
    return Post(stage, on_dead=lambda key, reason: said.append((key, reason is not None))), said


@pytest.mark.parametrize(
    ("outcome", "after"), [(RetryAfter(3600.0), 0.0), (Unavailable("502 bad gateway"), UNDELIVERED + 60)]
)
async def test_a_long_hold_is_reported_until_a_message_gets_through(
    stage: Stage, outcome: Outcome, after: float
) -> None:
    post, said = reported(stage)
    post.chat.script = [outcome] * (1 if after == 0.0 else 1000)
    stop(stage)
    await post.deliver(after)
    await post.dispatcher.check_holds()
    assert set(post.dispatcher.holds) == {""}
    assert said[-1] == ("", True)
    assert any(NAME in text for text in post.console.delivered)
    shown = len(post.console.delivered)
    await post.dispatcher.check_holds()
    assert len(post.console.delivered) == shown
    assert [key for key, refused in said if refused] == [""]

    post.chat.script.clear()
    await post.deliver(3700)
    await post.dispatcher.check_holds()
    assert post.dispatcher.holds == {}
    assert said[-1] == ("", False)
    assert any("🛑" in header for header in post.headers)


async def test_a_short_wait_is_no_hold(stage: Stage) -> None:
    post, said = reported(stage)
    post.chat.script = [RetryAfter(30.0)]
    stop(stage)
    await post.deliver(0)
    await post.dispatcher.check_holds()
    assert post.dispatcher.holds == {}
    assert not [key for key, refused in said if refused]


async def test_a_hold_with_nothing_to_send_is_none(stage: Stage) -> None:
    post, _ = reported(stage)
    post.chat.script = [RetryAfter(3600.0)]
    stop(stage)
    await post.deliver(0)
    await stage.pool.execute("UPDATE dozor.notifications SET state = 'expired'")
    await post.dispatcher.check_holds()
    assert post.dispatcher.holds == {}


async def test_status_says_which_chat_waits_until_when(stage: Stage) -> None:
    post, _ = reported(stage)
    stop(stage)
    post.chat.script = [RetryAfter(3600.0)]
    await post.deliver(0)
    await stage.pool.execute("UPDATE dozor.destinations SET held_until = now() + interval '1 hour'")
    async with stage.pool.acquire() as connection:
        report = await read_status(connection)
    [wait] = report.alerts.waiting
    assert (wait.destination, wait.until is not None) == ("", True)


async def test_the_running_dispatcher_checks(stage: Stage) -> None:
    post, said = reported(stage)
    post.chat.script = [RetryAfter(3600.0)]
    stop(stage)
    await stage.journal.write()
    running = asyncio.create_task(post.dispatcher.run())
    async with asyncio.timeout(20):
        while not said or said[-1] != ("", True):
            post.dispatcher.wake()
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
