"""The control loop on a real asyncio loop: short delays, conditions instead of sleeps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loguru import logger

from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Continuous, Every, Isolation
from dozor.errors import Fatal
from dozor.supervision.core.events import Failed, Interrupted, Pause, Restart, Resume, RunNow
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.execution.executor import IsOutage, never_an_outage
from dozor.supervision.runs.context import Context
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from tests.waiting import until

QUICK = RestartDelay.fixed(0.01)


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.states: list[State] = []
        self.successes = 0
        self.alerts: list[tuple[str, str]] = []

    def transition(self, transition: Transition) -> None:
        self.transitions.append(transition)
        self.states.append(transition.after.state)

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        self.successes += 1

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self.alerts.append((text, severity))

    @property
    def failures(self) -> list[Failed]:
        return [t.event for t in self.transitions if isinstance(t.event, Failed)]


def spec(name: str, function: Callable[..., Any], **policy: Any) -> TaskSpec:
    isolation = policy.pop("isolation", Isolation.INLINE)
    takes_context = policy.pop("takes_context", False)
    rules: dict[str, Any] = {
        "schedule": Every(0.01),
        "restart_delay": QUICK,
        "max_consecutive_failures": 3,
    } | policy
    return TaskSpec(
        name=name, function=function, isolation=isolation, takes_context=takes_context, policy=Policy(**rules)
    )


@asynccontextmanager
async def supervising(
    *specs: TaskSpec,
    grace: float = 0.2,
    is_outage: IsOutage = never_an_outage,
    stored: dict[str, TaskState] | None = None,
) -> AsyncIterator[tuple[Supervisor, Seen]]:
    seen = Seen()
    supervisor = Supervisor(
        specs,
        observer=seen,
        clock=SteadyClock(),
        log=SupervisionLog(),
        generation=7,
        grace=grace,
        is_outage=is_outage,
        stored=stored,
    )
    supervisor.start()
    try:
        yield supervisor, seen
    finally:
        await supervisor.stop()


def state_of(supervisor: Supervisor, name: str) -> TaskState:
    task = supervisor.find(name)
    assert task is not None
    return task.state


async def nothing() -> None:
    pass


async def boom() -> None:
    raise ValueError("boom")


async def test_a_periodic_task_runs_again_and_again() -> None:
    async with supervising(spec("ok", nothing)) as (supervisor, seen):
        await until(lambda: seen.successes >= 5)
        assert state_of(supervisor, "ok").runs_total >= 5
        assert not seen.transitions, "healthy runs trouble nobody"


async def test_a_failing_task_is_restarted_and_stopped_after_its_limit() -> None:
    async with supervising(spec("bad", boom)) as (supervisor, seen):
        await until(lambda: state_of(supervisor, "bad").state is State.STOPPED)
        assert seen.states == [State.BACKOFF, State.BACKOFF, State.STOPPED]
        assert seen.failures[-1].failure.error_text == "boom"
        assert "in boom" in seen.failures[-1].failure.where
        assert "ValueError: boom" in seen.failures[-1].failure.traceback


class Own(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Own()])
async def test_whatever_a_checker_raises_fails_that_task_and_not_the_runner(error: BaseException) -> None:
    async def check() -> None:
        raise error

    async with supervising(spec("bad", check), spec("ok", nothing)) as (supervisor, seen):
        await until(lambda: state_of(supervisor, "bad").state is State.STOPPED)
        before = seen.successes
        await until(lambda: seen.successes > before + 2)


async def test_a_fatal_error_stops_at_once() -> None:
    async def check() -> None:
        raise Fatal("no such account")

    async with supervising(spec("bad", check)) as (supervisor, _):
        await until(lambda: state_of(supervisor, "bad").state is State.STOPPED)
        assert state_of(supervisor, "bad").runs_total == 1


async def test_an_error_whose_text_raises_is_a_failure_as_any_other() -> None:
    class NastyError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async def check() -> None:
        raise NastyError

    async with supervising(spec("bad", check)) as (supervisor, seen):
        await until(lambda: state_of(supervisor, "bad").state is State.STOPPED)
        assert "RuntimeError" in seen.failures[0].failure.error_text


async def test_a_run_longer_than_its_timeout_is_cancelled_and_has_failed() -> None:
    async def check() -> None:
        await asyncio.Event().wait()

    async with supervising(spec("slow", check, timeout=0.02)) as (supervisor, seen):
        await until(lambda: state_of(supervisor, "slow").state is State.STOPPED)
        assert all(event.failure.timed_out for event in seen.failures)
        assert "timeout of 0.02 s" in seen.failures[0].failure.error_text


async def test_a_plain_function_runs_in_a_thread_and_the_loop_goes_on() -> None:
    loop_thread = threading.get_ident()
    threads: list[int] = []
    release = threading.Event()

    def check(ctx: Context) -> None:
        threads.append(threading.get_ident())
        ctx.alert("hello", "info")
        release.wait(20)

    plain = spec("plain", check, isolation=Isolation.THREAD, takes_context=True)
    async with supervising(plain, spec("ok", nothing)) as (supervisor, seen):
        await until(lambda: bool(threads))
        before = seen.successes
        await until(lambda: seen.successes > before + 2 and seen.alerts == [("hello", "info")])
        assert loop_thread not in threads
        assert state_of(supervisor, "plain").state is State.RUNNING
        release.set()


async def test_a_thread_that_cannot_be_cancelled_never_runs_twice_at_once() -> None:
    running: list[int] = []
    most = 0
    release = threading.Event()

    def check() -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        release.wait(20)
        running.pop()

    stuck = spec("stuck", check, isolation=Isolation.THREAD, timeout=0.02)
    async with supervising(stuck) as (supervisor, _):
        await until(lambda: bool(running))
        await until(lambda: state_of(supervisor, "stuck").next_at is None)  # the timeout has struck
        supervisor.command("stuck", Restart("cli:ann"))
        await asyncio.sleep(0)
        assert len(running) == 1
        release.set()
        await until(lambda: state_of(supervisor, "stuck").runs_total >= 2)
    assert most == 1


async def test_restart_of_a_continuous_run_asks_it_first_and_cancels_after_the_grace() -> None:
    asked: list[bool] = []
    starts = 0

    async def check(ctx: Context) -> None:
        nonlocal starts
        starts += 1
        try:
            await asyncio.Event().wait()
        finally:
            asked.append(bool(ctx.stopping))

    forever = spec("forever", check, schedule=Continuous(), takes_context=True)
    async with supervising(forever, grace=0.05) as (supervisor, _):
        await until(lambda: starts == 1)
        supervisor.command("forever", Restart("cli:ann"))
        await until(lambda: starts == 2)
        assert asked == [True]


async def test_a_cancellation_before_the_first_step_still_ends_the_run() -> None:
    async with supervising(spec("late", nothing, schedule=Every(60.0))) as (supervisor, seen):
        await until(lambda: seen.successes == 1)
        supervisor.command("late", RunNow("cli:ann"))
        task = supervisor.find("late")
        assert task is not None
        assert task.run is not None
        unstopped = await asyncio.wait_for(supervisor.stop(), 20)
        assert unstopped == ()
        assert task.run is None


async def test_the_end_names_the_tasks_that_would_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor.supervision.supervisor.CANCEL_SECONDS", 0.2)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    started = asyncio.Event()

    async def polite(ctx: Context) -> None:
        started.set()
        await ctx.stopping.wait()

    tasks = (
        spec("stubborn", stubborn, schedule=Continuous()),
        spec("polite", polite, schedule=Continuous(), takes_context=True),
    )
    async with supervising(*tasks, grace=0.05) as (supervisor, _):
        await asyncio.wait_for(started.wait(), 20)
        assert await supervisor.stop() == ("stubborn",)
        release.set()
        await until(lambda: (task := supervisor.find("stubborn")) is not None and task.run is None)


async def test_pause_and_resume() -> None:
    async with supervising(spec("ok", nothing)) as (supervisor, seen):
        await until(lambda: seen.successes > 0)
        assert supervisor.command("ok", Pause("cli:ann"))
        assert not supervisor.command("ok", Pause("cli:ann")), "it is paused already"
        await until(lambda: (task := supervisor.find("ok")) is not None and task.run is None)
        runs = state_of(supervisor, "ok").runs_total
        supervisor.command("ok", Resume("cli:ann"))
        await until(lambda: state_of(supervisor, "ok").runs_total > runs)


async def test_what_our_own_outage_explains_holds_the_task_until_it_is_over() -> None:
    async def outage(error: BaseException, started_at: float, used_database: bool) -> bool:
        return True

    patient = spec("db", boom, restart_delay=RestartDelay.fixed(60.0))
    async with supervising(patient, is_outage=outage) as (supervisor, seen):
        await until(lambda: state_of(supervisor, "db").state is State.HELD)
        assert isinstance(seen.transitions[0].event, Interrupted)
        assert state_of(supervisor, "db").failures == 0
        supervisor.dependency_changed(up=True)
        await until(lambda: state_of(supervisor, "db").runs_total == 2)


async def test_when_the_outage_cannot_be_judged_the_failure_counts() -> None:
    async def unsure(error: BaseException, started_at: float, used_database: bool) -> bool:
        raise RuntimeError("who knows")

    async with supervising(spec("db", boom), is_outage=unsure) as (supervisor, _):
        await until(lambda: state_of(supervisor, "db").state is State.STOPPED)


async def test_a_stopped_task_stays_stopped_in_the_next_process() -> None:
    stored = {"bad": TaskState(State.STOPPED, failures=3)}
    async with supervising(spec("bad", nothing), spec("ok", nothing), stored=stored) as (supervisor, seen):
        await until(lambda: seen.successes >= 3)
        assert state_of(supervisor, "bad").runs_total == 0
        supervisor.command("bad", Restart("cli:ann"))
        await until(lambda: state_of(supervisor, "bad").state is State.WAITING)


async def test_a_defect_of_our_own_in_one_task_is_logged_and_leaves_it_a_next_step() -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="ERROR")
    try:
        async with supervising(spec("odd", nothing, schedule=Every(0.05)), spec("ok", nothing)) as (
            supervisor,
            seen,
        ):
            task = supervisor.find("odd")
            assert task is not None
            await until(lambda: seen.successes > 3 and task.run is None)
            task.state = task.state._replace(failures="three")  # type: ignore[arg-type]
            await until(lambda: any("odd could not be handled" in line for line in said))
            assert task.state.next_at is not None
            assert task.state.state is State.WAITING
            before = seen.successes
            await until(lambda: seen.successes > before + 3)
    finally:
        logger.remove(sink)


async def test_what_a_checker_reports_is_in_the_next_checkpoint() -> None:
    async def check(ctx: Context) -> None:
        ctx.progress(3, 10)
        ctx.backlog(42, None)
        assert ctx.run_id.startswith("7-")
        await ctx.stopping.wait()

    watched = spec("batch", check, schedule=Continuous(), takes_context=True)
    async with supervising(watched) as (supervisor, _):
        await until(lambda: (task := supervisor.find("batch")) is not None and task.backlog is not None)
        row = supervisor.take_checkpoint().full[0]
        assert (row.progress_done, row.progress_total, row.backlog_size) == (3, 10, 42)


async def test_successes_become_one_row_of_history_and_none_is_lost_at_the_end() -> None:
    async with supervising(spec("ok", nothing)) as (supervisor, seen):
        await until(lambda: seen.successes >= 5)
        supervisor.take_checkpoint()
        await supervisor.stop()
        rows = supervisor.take_checkpoint().runs
        assert sum(row.runs for row in rows) == seen.successes


async def test_many_tasks_start_spread_out() -> None:
    starts = 0

    async def check() -> None:
        nonlocal starts
        starts += 1

    many = [spec(f"t{n}", check, schedule=Every(600.0)) for n in range(500)]
    async with supervising(*many) as (supervisor, _):
        await until(lambda: starts == 500)
        # By the plan, whose base is a first start: that itself is late on a busy machine.
        due = [task.state.due_at for task in supervisor.tasks if task.state.due_at is not None]
    assert len(due) == 500
    assert max(due) - min(due) >= 0.4


async def test_a_probe_that_new_rules_cut_short_is_followed_by_another() -> None:
    calls = 0

    async def broken() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:  # the probe that the new rules find in progress
            await asyncio.sleep(3600)
        raise ValueError("boom")

    probed = spec("probed", broken, max_consecutive_failures=1, stop_retry_every=0.05)
    async with supervising(probed, grace=0.05) as (supervisor, _):
        await until(lambda: calls == 2)
        supervisor.task_changes.replace(probed, time.time())
        await until(lambda: calls >= 4)
        assert state_of(supervisor, "probed").state is State.STOPPED
