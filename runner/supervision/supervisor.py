"""The control loop: thousands of tasks on one heap and one timer; performs what the machine decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, assert_never

from loguru import logger

from runner.clock import SteadyClock
from runner.config.tasks import Every
from runner.storage.journal import Checkpoint
from runner.storage.pool import Pool
from runner.supervision.checkpoint import CHECKPOINT_ROWS, collect
from runner.supervision.context import Context
from runner.supervision.events import (
    START_RUN,
    AskToStop,
    Cancelled,
    DependencyDown,
    DependencyUp,
    Due,
    Effect,
    Event,
    Failed,
    Heartbeat,
    Interrupted,
    PersonEvent,
    StartRun,
    StopRun,
    Succeeded,
    TimeOut,
)
from runner.supervision.execution import IsOutage, carry_out, never_an_outage
from runner.supervision.failure import describe
from runner.supervision.lines import SupervisionLog
from runner.supervision.machine import restore, step
from runner.supervision.reports import RunReports
from runner.supervision.run import Run, StopReason
from runner.supervision.spec import TaskSpec
from runner.supervision.state import State, TaskState
from runner.supervision.supervised import Supervised, run_id
from runner.supervision.timetable import Timetable

CANCEL_SECONDS = 5.0
"""How long the end waits for cancelled runs."""

_DUE = Due()
_SUCCEEDED = Succeeded()


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that is over."""

    number: int
    started_at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that somebody may have to hear of. Healthy runs of healthy tasks make none."""

    task: Supervised
    before: TaskState
    event: Event
    now: float
    run: EndedRun | None = None

    @property
    def after(self) -> TaskState:
        return self.task.state


class Observer(Protocol):
    """Hears of what happens, in the same turn of the loop. Must not block, and must not raise."""

    def transition(self, transition: Transition) -> None: ...
    def succeeded(self, task: Supervised, seconds: float, lateness: float) -> None: ...
    def checker_alert(self, task: Supervised, text: str, severity: str) -> None: ...


class Supervisor:
    """Supervises tasks on the running loop. `generation` makes run ids unique; `grace` in seconds."""

    def __init__(
        self,
        specs: Iterable[TaskSpec],
        *,
        observer: Observer,
        clock: SteadyClock,
        log: SupervisionLog,
        generation: int = 0,
        stored: Mapping[str, TaskState] | None = None,
        pool: Pool | None = None,
        is_outage: IsOutage = never_an_outage,
        redact: Callable[[str], str] = str,
        grace: float = 10.0,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._log = log
        self._pool = pool
        self.is_outage = is_outage
        self._redact = redact
        self._grace = grace
        self._generation = generation
        self._luck = random.Random()  # noqa: S311 -- spreads load, guards nothing
        self._number = 0
        self._timetable = Timetable(clock, self._due)
        self.closing = False
        """No new runs: the end has begun."""
        self._tasks: list[Supervised] = []
        self._by_name: dict[str, Supervised] = {}
        self._dirty: dict[Supervised, None] = {}
        # Tasks whose state the database does not have yet, the longest waiting first.
        specs = list(specs)
        now = clock.now()
        stored = stored or {}
        for index, spec in enumerate(specs):
            spread = _spread(spec, index, len(specs))
            task = Supervised(spec, index, restore(spec.policy, stored.get(spec.name), now, spread=spread))
            self._tasks.append(task)
            self._by_name[spec.name] = task
            self._dirty[task] = None

    @property
    def tasks(self) -> tuple[Supervised, ...]:
        return tuple(self._tasks)

    def find(self, name: str) -> Supervised | None:
        return self._by_name.get(name)

    @property
    def last_tick_at(self) -> float:
        """When the control loop last looked at its tasks; seconds since the epoch."""
        return self._timetable.last_tick_at

    def late_by(self, now: float) -> float:
        """Seconds by which the control loop is behind its own plan; 0 while it keeps it."""
        return 0.0 if self.closing else self._timetable.late_by(now)

    def start(self) -> None:
        """Begin to supervise, on the running loop."""
        self._loop = asyncio.get_running_loop()
        for task in self._tasks:
            if task.state.next_at is not None:
                self._timetable.plan(task.state.next_at, task.index)
        self._timetable.start()

    def command(self, name: str, event: PersonEvent) -> bool:
        """A person's wish for the task `name` (KeyError if there is none); whether it changed anything."""
        task = self._by_name[name]
        before = task.state
        self._apply(task, event, self._clock.now())
        return task.state is not before

    def dependency_changed(self, *, up: bool) -> None:
        """Hold or release the tasks that need what has gone or come back."""
        now = self._clock.now()
        held = [task for task in self._tasks if task.state.state is State.HELD]
        if up:
            for index, task in enumerate(held):
                self._apply(task, DependencyUp(_spread(task.spec, index, len(held))), now)
        else:
            for task in self._tasks:
                self._apply(task, DependencyDown(), now)

    async def stop(self) -> tuple[str, ...]:
        """No new runs; ask those in progress to end, cancel them after the grace period.

        The names of tasks whose run would not end.
        """
        self.closing = True
        self._timetable.stop()
        running = [task for task in self._tasks if task.run is not None]
        for task in running:
            if task.run is not None:
                task.run.ask_to_stop(StopReason.ASKED)
        await self._ended(running, self._grace)
        for task in running:
            if task.run is not None:
                self._cancel(task, task.run, StopReason.ASKED)
        await self._ended(running, CANCEL_SECONDS)
        self._dirty.update((task, None) for task in self._tasks if task.stretch is not None)
        return tuple(task.spec.name for task in running if task.run is not None)

    def mark_dirty(self, task: Supervised) -> None:
        """Have its state written with the next checkpoint."""
        self._dirty[task] = None

    def take_checkpoint(self, limit: int = CHECKPOINT_ROWS) -> Checkpoint:
        """What has changed since the last one, of `limit` tasks; it counts as written from now on."""
        taken = list(islice(self._dirty, limit))
        for task in taken:
            del self._dirty[task]
        now = self._clock.now()
        return collect(taken, self._generation, now, last=self.closing, more=bool(self._dirty))

    async def _ended(self, tasks: list[Supervised], seconds: float) -> None:
        waiting = [task.run.task for task in tasks if task.run is not None and task.run.task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    # -- time

    def _due(self, index: int, at: float, now: float) -> None:
        task = self._tasks[index]
        if task.state.next_at != at:
            return  # planned anew meanwhile
        try:
            self._apply(task, _DUE, max(now, at))
        except Exception:  # noqa: BLE001 -- the supervision border: one task's trouble is not the others'
            self._look_again_later(task)

    def _look_again_later(self, task: Supervised) -> None:
        """A defect of our own must not leave a task without a next step."""
        name = task.spec.name
        logger.bind(task=name).exception("Supervisor: task {} could not be handled; again in 60 s", name)
        at = self._clock.now() + 60.0
        state = task.state._replace(next_at=at)
        if task.run is None:
            waits = State.WAITING if state.state is State.RUNNING else state.state
            state = state._replace(state=waits, running_since=None, again=False)
        task.state = state
        self._timetable.plan(at, task.index)

    # -- decisions and effects

    def _apply(self, task: Supervised, event: Event, now: float, run: EndedRun | None = None) -> None:
        before = task.state
        after, effects = step(task.spec.policy, before, event, now)
        if after is before and not effects:
            return
        task.state = after
        self._dirty[task] = None
        if after.next_at is not None and (after.next_at != before.next_at or event is _DUE):
            self._timetable.plan(after.next_at, task.index)
        if effects is START_RUN:
            if self.closing:  # a run that was to start anew: the next runner does it
                task.state = after._replace(state=State.WAITING, running_since=None)
            else:
                self._start_run(task, now)
        else:
            for effect in effects:
                self._perform(task, effect, now)
        if event is not _DUE or after.failures != before.failures:
            self._observer.transition(Transition(task, before, event, now, run))

    def _perform(self, task: Supervised, effect: Effect, now: float) -> None:
        match effect:
            case StartRun():
                self._start_run(task, now)
            case AskToStop():
                if task.run is not None:
                    task.run.ask_to_stop(StopReason.ASKED)
            case StopRun():
                if task.run is not None:
                    task.run.ask_to_stop(StopReason.ASKED)
                    task.run.cancelling = self._loop.call_later(
                        self._grace, self._cancel, task, task.run, StopReason.ASKED
                    )
            case TimeOut():
                if task.run is not None:
                    self._cancel(task, task.run, StopReason.TIMED_OUT)
            case _:
                assert_never(effect)

    def _start_run(self, task: Supervised, now: float) -> None:
        self._number = number = self._number + 1
        state = task.state
        run = Run(number, state.due_at if state.due_at is not None else now, now, state.failures + 1)
        task.run = run
        task.progress = None
        if not task.announced:
            task.announced = True
            self._log.starting(task.spec.name)
        # Not loop.create_task: the same thing a microsecond dearer, ten thousand times a second.
        run.task = asyncio.Task(carry_out(self, task, run), loop=self._loop)

    def context(self, task: Supervised, run: Run) -> Context:
        """What the checker is given."""
        reports = RunReports(self._loop, self, task, run)
        return Context(task.spec.name, run_id(self._generation, run.number), run, reports, self._pool)

    def _cancel(self, task: Supervised, run: Run, reason: StopReason) -> None:
        run.cancel(reason)
        if run.task is not None:
            # A coroutine cancelled before its first step never runs: then nobody else would end the run.
            run.task.add_done_callback(lambda _: self.run_ended(task, run, asyncio.CancelledError()))

    def run_ended(
        self, task: Supervised, run: Run, error: BaseException | None, *, outage: bool = False
    ) -> None:
        """The run raised `error`, or returned. `outage`: our database's absence explains the error."""
        if run.ended:
            return
        run.ended = True
        if run.cancelling is not None:
            run.cancelling.cancel()
        task.run = None
        try:
            if error is None and run.reason is not StopReason.TIMED_OUT:
                self._succeeded(task, run, self._clock.now())
            else:
                self._failed(task, run, error, self._clock.now(), outage=outage)
        except Exception:  # noqa: BLE001 -- the supervision border: as in _due
            self._look_again_later(task)

    def _succeeded(self, task: Supervised, run: Run, now: float) -> None:
        healthy = (
            task.state.state is State.RUNNING
            and task.state.past.failing_since is None
            and not task.state.again
        )
        if healthy:
            task.state, _ = step(task.spec.policy, task.state, _SUCCEEDED, now)
            if task.state.next_at is not None:
                self._timetable.plan(task.state.next_at, task.index)
            self._dirty[task] = None
        else:
            self._apply(task, _SUCCEEDED, now, EndedRun(run.number, run.started_at, run.attempt))
        if task.spec.policy.continuous:
            task.announced = False
        task.add_success(run.number, run.started_at, now, urgent=not healthy)
        self._observer.succeeded(task, now - run.started_at, run.started_at - run.due_at)

    def _failed(
        self, task: Supervised, run: Run, error: BaseException | None, now: float, *, outage: bool
    ) -> None:
        name, policy = task.spec.name, task.spec.policy
        ended = EndedRun(run.number, run.started_at, run.attempt)
        if run.reason is StopReason.ASKED and isinstance(error, asyncio.CancelledError):
            if not task.state.again:
                self._log.cancelled(name)
            task.announced = False
            self._apply(task, Cancelled(), now, ended)
            return
        timed_out = run.reason is StopReason.TIMED_OUT
        if timed_out:
            late = TimeoutError(f"took longer than its timeout of {policy.timeout:g} s")
            late.__cause__ = error
            error = late.with_traceback(error.__traceback__ if error is not None else None)
        assert error is not None
        failure = describe(error, self._redact, timed_out=timed_out)
        task.announced = False
        if outage:
            logger.bind(task=name).warning(
                "Task {} is held: the database is away ({})", name, failure.error_type
            )
            self._apply(task, Interrupted(failure), now, ended)
            return
        before = task.state
        event = Failed(failure, self._luck.random())
        # Log first: were the log to fail, the state has not moved yet.
        self._log.failed(name, before.failures + 1, policy.max_consecutive_failures, error)
        self._apply(task, event, now, ended)
        after = task.state
        if after.state is State.BACKOFF and after.next_at is not None:
            self._log.restarting(name, after.next_at - now)
        elif after.state is State.STOPPED and before.state is not State.STOPPED:
            if failure.fatal:
                self._log.stopped_at_once(name, failure.error_text)
            else:
                self._log.stopped(name, after.failures)

    # -- a run's own words

    def heard(self, task: Supervised, run: Run) -> None:
        """A heartbeat of `run`."""
        if task.run is run:
            self._apply(
                task, Heartbeat(), self._clock.now(), EndedRun(run.number, run.started_at, run.attempt)
            )

    def checker_alert(self, task: Supervised, text: str, severity: str) -> None:
        self._observer.checker_alert(task, self._redact(text), severity)


def _spread(spec: TaskSpec, index: int, count: int) -> float:
    """Seconds by which to put off the first run: at most a thousand starts a second."""
    window = count * 0.001
    if isinstance(spec.policy.schedule, Every):
        window = min(window, spec.policy.schedule.seconds)
    return window * index / count
