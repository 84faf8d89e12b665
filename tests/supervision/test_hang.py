"""Where a run is: the chain of what it awaits, through tasks, groups and shields, down to the last frame."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Continuous, Every, Isolation
from dozor.supervision.core.state import State
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from dozor.supervision.runs.context import Context
from dozor.supervision.runs.failures.stacks import await_chain, chain_of_thread, in_one_line, users_own
from dozor.supervision.telemetry.observer import TroubleKind
from tests.supervision.stage import is_stopped, spec, state_of, supervising
from tests.waiting import until


async def innermost() -> None:
    await asyncio.Event().wait()


async def plain() -> None:
    await innermost()


async def with_wait_for() -> None:
    await asyncio.wait_for(innermost(), 100)


async def with_gather() -> None:
    await asyncio.gather(asyncio.sleep(0), innermost())


async def with_shield() -> None:
    await asyncio.shield(innermost())


async def with_wait() -> None:
    await asyncio.wait([asyncio.create_task(innermost())])


async def with_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(innermost())


async def with_generator() -> None:
    async def items() -> AsyncIterator[int]:
        await innermost()
        yield 1

    async for _ in items():
        pass


async def with_task() -> None:
    await asyncio.create_task(innermost())


@pytest.mark.parametrize(
    "way", [plain, with_wait_for, with_gather, with_shield, with_wait, with_group, with_generator, with_task]
)
async def test_the_chain_leads_down_to_the_innermost_frame(way: Callable[[], Awaitable[None]]) -> None:
    async def checker() -> None:
        await way()

    task = asyncio.create_task(checker())
    for _ in range(5):
        await asyncio.sleep(0)
    chain = await_chain(task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    names = [line.rpartition(" in ")[2] for line in chain]
    assert names[0] == "checker"
    assert way.__name__ in names
    assert names[-2:] == ["innermost", "wait"]
    assert chain[-1].startswith("asyncio/locks.py:")
    assert users_own(chain).endswith(" in innermost")
    assert users_own(chain).startswith("test_hang.py:")


async def test_the_stack_of_a_thread() -> None:
    release, inside = threading.Event(), threading.Event()

    def checker() -> None:
        inside.set()
        release.wait(20)

    thread = threading.Thread(target=checker)
    thread.start()
    await until(inside.is_set)
    assert thread.ident is not None
    chain = chain_of_thread(thread.ident)
    release.set()
    thread.join()
    assert any(line.startswith("test_hang.py:") and line.endswith(" in checker") for line in chain)


def test_a_long_chain_is_shown_by_its_ends() -> None:
    chain = [f"a.py:{number} in f" for number in range(20)]
    shown = in_one_line(chain).split(" → ")
    assert shown[0] == chain[0]
    assert shown[-1] == chain[-1]
    assert "…" in shown
    assert len(shown) == 7


async def test_a_timeout_says_where_the_run_was() -> None:
    slow = spec("slow", plain, timeout=0.05, max_consecutive_failures=1)
    async with supervising(slow) as (supervisor, seen):
        await until(is_stopped(supervisor, "slow"))
    [failure] = seen.failures("slow")
    assert "it was at test_hang.py:" in failure.error_text
    assert failure.where.endswith(" in innermost")
    assert "It was at:\n  test_hang.py:" in failure.traceback


async def test_a_run_that_swallows_cancellation_is_cancelled_again_reported_and_never_doubled() -> None:
    release = asyncio.Event()
    running = most = 0

    async def deaf() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        running -= 1

    async with supervising(spec("deaf", deaf, timeout=0.05), patience=0.05) as (supervisor, seen):
        await until(lambda: bool(seen.troubles))
        [trouble] = seen.troubles
        assert (trouble.kind, trouble.task) == (TroubleKind.HUNG, "deaf")
        assert any("in deaf" in line for line in trouble.chain)
        assert supervisor.canceller.abandoned == 1
        assert state_of(supervisor, "deaf").running_since is not None
        assert not seen.over
        release.set()
        await until(lambda: bool(seen.over))
        assert seen.failures("deaf")[0].timed_out
        await until(lambda: state_of(supervisor, "deaf").runs_total >= 2)
    assert most == 1


async def test_a_thread_that_hangs_is_reported_with_its_own_stack() -> None:
    release = threading.Event()

    def stuck() -> None:
        release.wait(20)

    plain_function = spec("stuck", stuck, isolation=Isolation.THREAD, timeout=0.05)
    async with supervising(plain_function, patience=0.05) as (_, seen):
        await until(lambda: bool(seen.troubles))
        release.set()
        assert any(line.endswith(" in stuck") for line in seen.troubles[0].chain)
        await until(lambda: bool(seen.over))


async def test_a_run_without_a_heartbeat_fails_and_one_with_it_goes_on() -> None:

    async def beats(ctx: Context) -> None:
        while not ctx.stopping:
            ctx.heartbeat()
            await ctx.stopping.wait(0.02)

    async def silent() -> None:
        await innermost()

    rules = {"schedule": Continuous(), "heartbeat_timeout": 0.2, "max_consecutive_failures": 1}
    clock = SteadyClock()
    tasks = (spec("beats", beats, **rules), spec("silent", silent, **rules))
    async with supervising(*tasks, clock=clock) as (supervisor, seen):
        monitor = TaskMonitor(supervisor, seen, clock)

        def silent_has_stopped() -> bool:
            monitor.check()
            return is_stopped(supervisor, "silent")()

        await until(silent_has_stopped)
        assert "no heartbeat for longer than its limit of 0.2 s" in seen.failures("silent")[0].error_text
        assert not seen.failures("beats")


async def test_overdue_is_raised_once_and_cleared_by_a_success() -> None:
    broken = True

    async def check() -> None:
        if broken:
            await asyncio.sleep(0.01)
            raise ValueError("no")

    clock = SteadyClock()
    late = spec("late", check, schedule=Every(0.02), overdue_after=0.1, max_consecutive_failures=None)
    async with supervising(late, clock=clock) as (supervisor, seen):
        monitor = TaskMonitor(supervisor, seen, clock)

        def told(times: int, over: int) -> Callable[[], bool]:
            def look() -> bool:
                monitor.check()
                return (len(seen.troubles), len(seen.over)) == (times, over)

            return look

        await until(told(1, 0))
        assert seen.troubles[0].kind is TroubleKind.OVERDUE
        broken = False
        await until(told(1, 1))


async def test_a_checker_that_succeeds_and_falls_behind_is_told_once_and_so_is_its_catching_up() -> None:
    late = True

    async def check(ctx: Context) -> None:
        ctx.backlog(50, datetime.now(UTC) - timedelta(seconds=90 if late else 1), 60.0)

    async with supervising(spec("payouts", check)) as (supervisor, seen):
        monitor = TaskMonitor(supervisor, seen, SteadyClock())
        task = supervisor.find("payouts")
        assert task is not None
        await until(lambda: task.backlog is not None)
        monitor.check()
        monitor.check()
        assert [(told.kind, told.count) for told in seen.troubles] == [(TroubleKind.BACKLOG, 50)]
        assert state_of(supervisor, "payouts").state is not State.BACKOFF
        late = False
        successes = seen.successes["payouts"]
        await until(lambda: seen.successes["payouts"] > successes + 1)
        monitor.check()
        assert [told.kind for told in seen.over] == [TroubleKind.BACKLOG]
