"""The supervisor: all tasks on one timer heap; performs the effects that the state machine returns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, assert_never

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Isolation
from dozor.config.values.requirements import DATABASE
from dozor.language import msg
from dozor.storage.journal import CHECKPOINT_GAP, Checkpoint
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.run_fence import RunFence
from dozor.storage.tables.pool_runs import StopRequest
from dozor.supervision.core.crash_loop import CrashVerdict
from dozor.supervision.core.events import (
    START_RUN,
    AskToStop,
    Due,
    Effect,
    Event,
    Failed,
    PersonEvent,
    Restart,
    RunNow,
    StartRun,
    StopRun,
    TimeOut,
)
from dozor.supervision.core.machine import step
from dozor.supervision.core.schedule import stagger
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.crash_watch import CrashWatch
from dozor.supervision.dependency_hold import DependencyGate
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.execution.distribution import Distributor, NoDistributor, RemoteRun, adopted_state
from dozor.supervision.execution.executor import IsOutage, execute, never_an_outage
from dozor.supervision.execution.left_behind import LeftBehind
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.execution.process.pool import ProcessPool
from dozor.supervision.execution.reporter import RunReporter
from dozor.supervision.held_starts import HeldBack, HeldStarts
from dozor.supervision.run_ends import RunEnds
from dozor.supervision.runs.context import Context, Reporter
from dozor.supervision.runs.ownership import OwnTask, Scope
from dozor.supervision.runs.resources import Resources, given_to
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.start_gate import CommitLog, StartGate, due_instead
from dozor.supervision.task_changes import TaskChanges
from dozor.supervision.tasks.checkpoint import CHECKPOINT_ROWS
from dozor.supervision.tasks.registry import TaskRegistry
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.observer import EndedRun
from dozor.supervision.telemetry.observer import Observer as Observer
from dozor.supervision.telemetry.observer import Transition as Transition
from dozor.supervision.timers import SLACK, TimerHeap

CANCEL_SECONDS = 5.0
"""How long cancelled runs get at the end of the process before they are given up."""
_DUE = Due()
_HELD = State.HELD
_PROCESS: Final = Isolation.PROCESS


class Supervisor(RunEnds):
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
        checkers: CheckerPool | None = None,
        is_outage: IsOutage = never_an_outage,
        redact: Callable[[str], str] = str,
        grace: float = 10.0,
        launch: Launch | None = None,
        canceller: Canceller | None = None,
        scoped: bool = True,
        commits: CommitLog | None = None,
        crashes: CrashVerdict = CrashVerdict(),  # noqa: B008 -- frozen
        resources: Resources | None = None,
        distributor: Distributor | None = None,
        fence: RunFence | None = None,
        held: HeldBack | None = None,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._log = log
        self._checkers = checkers
        self.resources = resources
        self._is_outage = is_outage
        self._redact = redact
        self._grace = grace
        self._generation = generation
        self._scoped = scoped
        """Whether its tasks are other people's code."""
        self.random = random.Random()  # noqa: S311 -- spreads load, no security purpose
        self._fence = fence
        self._distributor = distributor or NoDistributor()
        self._number = 0
        self._checkpoint_at = float("-inf")
        self.contexts = CleanContext()
        """Of now, before any checker has run: of every run's context, and of our own timers."""
        self._timetable = TimerHeap(clock, self._due, self.contexts.timers)
        self.registry = TaskRegistry()
        self._held = HeldStarts(held, clock, self._timetable, self._apply, self.registry, self.contexts)
        self._dirty = self.registry.dirty
        self._slots = self.registry.slots
        self.processes = ProcessPool(launch or Launch())
        self.gate = DependencyGate(self.registry, clock, self._apply)
        self._starts = StartGate(commits, self._begin, self.contexts)
        self._crash_watch = CrashWatch(crashes, self._starts) if crashes.record else None
        """Of the first minutes after an unclean end."""
        self.task_changes = TaskChanges(
            self.registry, self.processes, self.reporter_for, self._end_soon, resources
        )
        self.canceller = canceller or Canceller()
        self.outage_of_others: Callable[[SupervisedTask, Run], Awaitable[bool]] = _nothing_was_down
        """Whether something that a task requires, beside the database, was down during its run."""
        self.closing = False
        """No new runs: the end has begun."""
        now = clock.now()
        stored = stored or {}
        specs = list(specs)
        for index, spec in enumerate(specs):
            spread = stagger(spec.policy, index, len(specs))
            self.task_changes.add(spec, stored.get(spec.name), now, spread=spread)

    @property
    def tasks(self) -> tuple[SupervisedTask, ...]:
        return self.registry.tasks

    def find(self, name: str) -> SupervisedTask | None:
        return self.registry.find(name)

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
        self._left_behind = LeftBehind(self._tell_of_leftovers, self._loop, self.contexts.timers)
        if self._crash_watch is not None:
            self._crash_watch.begin(self._clock.now())
        for task in self.tasks:
            self.processes.warm(task)
        self.plan_anew()

    def plan_anew(self) -> None:
        """Plan every task's next look from its state: the clock was set, or tasks have changed."""
        self._timetable.clear()
        now = self._clock.now()
        for task in self.tasks:
            if self.gate.down:
                self.gate.hold(task, now)
            if task.state.next_at is not None:
                self._timetable.plan(task.state.next_at, task.index)
        self._timetable.start()

    def command(self, name: str, event: PersonEvent) -> bool:
        """A person's wish for the task `name` (KeyError if there is none); whether it changed anything."""
        task = self.registry.find(name)
        if task is None:
            raise KeyError(name)
        before = task.state
        if isinstance(event, Restart):
            self.task_changes.renew(task)
        if self._crash_watch is not None and isinstance(event, Restart | RunNow):
            self._crash_watch.clear(name)
        self._apply(task, event, self._clock.now())
        if task.state is not before:
            task.healthy_since = self._clock.now()
        return task.state is not before

    def dependency_changed(self, *, up: bool, name: str = DATABASE) -> None:
        """Hold or release the tasks that need what has gone or come back."""
        self.gate.changed(name, up=up)
        if name == DATABASE:
            if up:
                self._starts.close()
            else:
                self._starts.open()

    async def ask_to_end(self, seconds: float) -> list[SupervisedTask]:
        """No new runs; ask those in progress to end. Those that have not after `seconds`."""
        self.halt()
        # Runs of workers go on: the next leader adopts them.
        running = [task for task in self.registry.in_runs if task.run is not None and task.run.remote is None]
        for task in running:
            if task.run is not None:
                task.run.ask_to_stop(StopReason.ASKED)
        await self._ended(running, seconds)
        return [task for task in running if task.run is not None]

    async def stop(self, grace: float | None = None) -> tuple[str, ...]:
        """No new runs; ask those in progress to end, cancel them after the grace period.

        The names of tasks whose run would not end. `grace`: seconds, in place of the usual ones.
        """
        running = await self.ask_to_end(self._grace if grace is None else grace)
        for task in running:
            if task.run is not None:
                self._cancel(task, task.run, StopReason.ASKED, escalate=False)
        await self._ended(running, CANCEL_SECONDS)
        await self.processes.close(self.tasks)
        if self.resources is not None:
            await self.resources.close()
        self.registry.mark_dirty(*(task for task in self.tasks if task.stretch is not None))
        return tuple(task.spec.name for task in running if task.run is not None)

    def halt(self) -> None:
        """No new runs, and no looks at those in progress."""
        self.closing = True
        self._timetable.stop()
        self._starts.stop()

    def mark_dirty(self, task: SupervisedTask) -> None:
        """Have its state written with the next checkpoint."""
        self.registry.mark_dirty(task)

    def take_checkpoint(self, limit: int = CHECKPOINT_ROWS) -> Checkpoint:
        """What has changed since the last one, of `limit` tasks; it counts as written from now on."""
        now = self._clock.now()
        first, changes = self._distributor.touched, self._distributor.take()
        if changes is not None and not self.closing and now - self._checkpoint_at < CHECKPOINT_GAP:
            limit = 0  # runs of workers are written many times a second, healthy states twice
        else:
            self._checkpoint_at = now
        taken = self.registry.take_checkpoint(
            self._generation, now, last=self.closing, limit=limit, first=first
        )
        if changes is not None:
            taken = replace(taken, pool=changes)
        watch = self._crash_watch
        if watch is None:
            return taken
        if watch.over(now):
            self._crash_watch = None
        return replace(taken, in_flight=watch.take(now))

    async def _ended(self, tasks: list[SupervisedTask], seconds: float) -> None:
        waiting = [task.run.task for task in tasks if task.run is not None and task.run.task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    # -- time

    def _due(self, index: int, at: float, now: float) -> None:
        task = self._slots[index]
        if task is None or task.state.next_at != at:
            return  # removed, or planned anew meanwhile
        if task.run is None and (self._crash_watch is not None or self._held.possible):
            later = self._starts_later(task, now)
            if later is not None:
                task.state = task.state._replace(next_at=later)
                self._timetable.plan(later, task.index)
                return
        if task.awaited_commit is not None and task.run is None and not self._starts.admits(task):
            return
        try:
            self._apply(task, _DUE, max(now, at))
        except Exception:  # noqa: BLE001 -- the supervision border: one task's trouble is not the others'
            self._look_again_later(task)

    def _starts_later(self, task: SupervisedTask, now: float) -> float | None:
        """When to look again at a start that is held back; None: it may begin."""
        if self._crash_watch is not None:
            later = self._crash_watch.look_again_at(task, now)
            if later is not None:
                return later
            self._crash_watch.about_to_start(task, now)
        return self._held.until(task, now)

    def _begin(self, task: SupervisedTask) -> None:
        """Its start has waited for a commit. What was planned for it may have changed meanwhile."""
        at, now = task.state.next_at, self._clock.now()
        if at is not None and task.run is None and at <= now + SLACK:
            self._due(task.index, at, now)

    def _look_again_later(self, task: SupervisedTask) -> None:
        """A defect of our own must not leave a task without a next step."""
        name = task.spec.name
        logger.bind(task=name).exception(msg("log-task-unhandled", name=name))
        at = self._clock.now() + 60.0
        state = task.state._replace(next_at=at)
        if task.run is None:
            waits = State.WAITING if state.state is State.RUNNING else state.state
            state = state._replace(state=waits, running_since=None, restart_pending=False)
        task.state = state
        self._timetable.plan(at, task.index)

    # -- decisions and effects

    def _apply(self, task: SupervisedTask, event: Event, now: float, run: EndedRun | None = None) -> None:
        before = task.state
        after, effects = step(task.spec.policy, before, event, now)
        if after is before and not effects:
            return
        task.state = after
        self._dirty[task] = None
        next_at = after.next_at
        if next_at is not None and (event is _DUE or next_at != before.next_at):
            self._timetable.plan(next_at, task.index)
        if effects is START_RUN:
            if self.closing:  # a run that was to start anew: the next runner does it
                task.state = after._replace(state=State.WAITING, running_since=None)
            elif event is not _DUE and (later := self._held.until(task, now)) is not None:
                self._held.start_later(task, event, before, later)
            elif event is not _DUE and self._starts.must_wait(
                task, first=isinstance(event, Failed) or self._crash_watch is not None
            ):
                # What must be in the database first may not be there yet: it is due at once instead.
                task.state = due_instead(before, after, now)
                self._timetable.plan(now, task.index)
            else:
                self._start_run(task, now)
        else:
            for effect in effects:
                self._perform(task, effect, now)
        if event is not _DUE or after.failures != before.failures:
            self._observer.transition(Transition(task, before, event, now, run))
            if isinstance(event, Failed):
                self._starts.failure_appended(task)
        if before.state is _HELD and task.state.state is not _HELD:
            self.gate.left(task)
        if self.gate.down:
            self._hold_if_waiting(task, now)

    def _hold_if_waiting(self, task: SupervisedTask, now: float) -> None:
        """Something is down. A task that was in a run at that moment is held when the run is over."""
        if task.run is None and task.state.state in (State.WAITING, State.BACKOFF):
            self.gate.hold(task, now)

    def _perform(self, task: SupervisedTask, effect: Effect, now: float) -> None:
        match effect:
            case StartRun():
                self._start_run(task, now)
            case AskToStop():
                if task.run is not None:
                    self._ask_to_stop(task.run)
            case StopRun():
                self._end_soon(task)
            case TimeOut():
                if task.run is not None:
                    self._cancel(task, task.run, StopReason.TIMED_OUT)
            case _:
                assert_never(effect)

    def _start_run(self, task: SupervisedTask, now: float) -> None:
        self._number = number = self._number + 1
        state = task.state
        run = Run(number, state.due_at if state.due_at is not None else now, now, state.failures + 1)
        task.run = run
        task.progress = None
        if self._crash_watch is not None:
            self._crash_watch.started(task, now)
        if not task.announced:
            task.announced = True
            self._log.starting(task.spec.name)
        if task.spec.pool is not None:
            self._distributor.start(task, run)
            return
        # Not loop.create_task: the same thing a microsecond dearer, ten thousand times a second.
        spec, scope = task.spec, None
        name = spec.name
        if self._scoped and spec.isolation is not _PROCESS:
            scope = Scope(name, self._left_behind)
        # With a name: asyncio would make one up, which costs more.
        run.task = carrier = OwnTask(
            execute(self, task, run, scope), loop=self._loop, name=name, context=self.contexts.fresh()
        )
        carrier.scope = scope

    def _tell_of_leftovers(self, name: str, text: str) -> None:
        task = self.registry.find(name)
        if task is not None:
            self.checker_alert(task, text, "warning")

    def context(self, task: SupervisedTask, run: Run) -> Context:
        """What the checker is given."""
        reports = RunReporter(self._loop, self, task, run)
        name, number = task.spec.name, run_id(self._generation, run.number)
        return Context(
            name,
            number,
            run,
            reports,
            self._checkers,
            given_to(self.resources, name, number, run),
            epoch=self._generation,
            fence=self._fence,
        )

    def reporter_for(self, task: SupervisedTask) -> Callable[[Run], Reporter]:
        """Where runs of `task` in a process of its own send their reports."""
        return lambda run: RunReporter(self._loop, self, task, run)

    async def explained(self, task: SupervisedTask, run: Run, error: BaseException) -> bool:
        """Whether an outage of our database, or of something else it requires, is why the run failed."""
        if await self._is_outage(error, run.started_at, run.used_database):
            return True
        return bool(task.spec.policy.requires) and await self.outage_of_others(task, run)

    # -- ending runs

    def _end_soon(self, task: SupervisedTask) -> None:
        """Ask its run to end, and cancel it after the grace period."""
        run = task.run
        if run is not None:
            self._ask_to_stop(run)
            run.cancelling = self._loop.call_later(
                self._grace, self._cancel, task, run, StopReason.ASKED, context=self.contexts.timers
            )

    def _ask_to_stop(self, run: Run) -> None:
        run.ask_to_stop(StopReason.ASKED)
        if run.remote is not None:
            self._distributor.stop(run, StopRequest.ASK)

    def adopt(self, task: SupervisedTask, found: RemoteRun) -> Run:
        """A worker's run that an earlier leader began: it keeps its id. To be called before `start`."""
        self._number = number = self._number + 1
        run = task.run = Run(number, found.due_at, found.started_at, found.attempt)
        run.remote = found.id
        task.announced = True
        task.state = adopted_state(task.state, found, self._clock.now())
        return run

    def silent(self, task: SupervisedTask, run: Run) -> None:
        """It has sent no heartbeat for too long."""
        self._cancel(task, run, StopReason.SILENT)

    def _cancel(self, task: SupervisedTask, run: Run, reason: StopReason, *, escalate: bool = True) -> None:
        if run.remote is not None:  # its worker sees to it that it ends
            run.cancel(reason)
            self._distributor.stop(run, StopRequest.CANCEL)
            return
        self.contexts.run(self.canceller.cancel, task, run, reason, escalate=escalate)
        if run.task is not None:
            # A coroutine cancelled before its first step never runs: then nobody else would end the run.
            run.task.add_done_callback(
                lambda _: self.run_ended(task, run, asyncio.CancelledError()), context=self.contexts.timers
            )

    def run_ended(
        self, task: SupervisedTask, run: Run, error: BaseException | None, *, outage: bool = False
    ) -> None:
        """The run raised `error`, or returned. `outage`: what it stands on was away, which explains it."""
        if not self._take_end(task, run):
            return
        if self._crash_watch is not None:
            self._crash_watch.ended(task)
        try:
            if self._slots[task.index] is not task:  # removed meanwhile
                self.registry.forget(task)
                self._log.cancelled(task.spec.name)
            elif error is None and (run.reason is None or run.reason is StopReason.ASKED):
                self._succeeded(task, run, self._clock.now())
            else:
                task.last_ended = (run.remote, run.number, run.attempt)
                self._failed(task, run, error, self._clock.now(), outage=outage)
        except Exception:  # noqa: BLE001 -- the supervision border: as in _due
            self._look_again_later(task)
        finally:
            self.canceller.over(task, run)

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self._observer.checker_alert(task, self._redact(text), severity)


async def _nothing_was_down(task: SupervisedTask, run: Run) -> bool:
    return False
