"""A run that the runner ended has not failed, whatever it raises on its way, in every isolation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dozor import Context, Fatal
from dozor.config.sections.tasks import Isolation
from dozor.supervision.core.events import Cancelled, Pause, Restart
from dozor.supervision.core.policy import RestartDelay
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor
from tests.supervision.stage import Seen, spec, state_of, supervising
from tests.waiting import until


async def feed() -> None:
    """A client that makes an error of its own of a cancellation."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise ConnectionError("closed while reading") from None


async def feed_fatal() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise Fatal("closed") from None


async def feed_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        group.create_task(feed())


async def feed_exits() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise SystemExit(3) from None


def feed_thread(ctx: Context) -> None:
    while not ctx.stopping:
        threading.Event().wait(0.01)
    raise ConnectionError("closed while reading")


CASES = [
    (feed, Isolation.INLINE),
    (feed_fatal, Isolation.INLINE),
    (feed_group, Isolation.INLINE),
    (feed_exits, Isolation.INLINE),
    (feed_thread, Isolation.THREAD),
    (feed, Isolation.PROCESS),
    (feed_thread, Isolation.PROCESS),
]


def running(supervisor: Supervisor) -> Callable[[], bool]:
    def check() -> bool:
        task = supervisor.find("feed")
        assert task is not None
        return task.run is not None and (
            task.spec.isolation is not Isolation.PROCESS or (task.child is not None and busy(task.child))
        )

    return check


def busy(child: Any) -> bool:
    return child._ended is not None


def the_task(function: Callable[..., Any], isolation: Isolation) -> Any:
    return spec(
        "feed",
        function,
        isolation=isolation,
        reference=f"test_ended_by_us:{function.__name__}",
        max_consecutive_failures=1,
        restart_delay=RestartDelay.fixed(60),
    )


def assert_not_failed(seen: Seen) -> None:
    assert not seen.failures("feed")
    assert any(isinstance(transition.event, Cancelled) for transition in seen.transitions)


@pytest.mark.parametrize(("function", "isolation"), CASES)
async def test_at_the_end_of_the_runner(function: Callable[..., Any], isolation: Isolation) -> None:
    async with supervising(the_task(function, isolation)) as (supervisor, seen):
        await until(running(supervisor), within=60)
        await supervisor.stop()
        assert state_of(supervisor, "feed").state is State.WAITING
    assert_not_failed(seen)


@pytest.mark.parametrize(("function", "isolation"), CASES)
async def test_at_a_pause_and_a_restart(function: Callable[..., Any], isolation: Isolation) -> None:
    async with supervising(the_task(function, isolation)) as (supervisor, seen):
        await until(running(supervisor), within=60)
        supervisor.command("feed", Restart("ann"))
        await until(lambda: state_of(supervisor, "feed").runs_total == 2, within=60)
        await until(running(supervisor), within=60)
        supervisor.command("feed", Pause("ann"))
        await supervisor.stop()
        after = state_of(supervisor, "feed")
        assert (after.state, after.failures) == (State.PAUSED, 0)
    assert_not_failed(seen)
