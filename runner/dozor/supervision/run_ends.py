"""Applies results and heartbeats of runs to their tasks: a part of the supervisor."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from loguru import logger

from dozor.clock import SteadyClock
from dozor.language import msg
from dozor.supervision.core.events import Cancelled, Event, Failed, Heartbeat, Interrupted, Succeeded
from dozor.supervision.core.machine import step
from dozor.supervision.core.state import Failure, State
from dozor.supervision.dependency_hold import DependencyGate
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.runs.failures.endings import failure_of
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.observer import EndedRun, Observer
from dozor.supervision.timers import TimerHeap

_SUCCEEDED = Succeeded()
_RUNNING: Final = State.RUNNING
"""Compared with after every run: to look a member up in its class takes longer."""


class RunEnds(ABC):
    """Base of the supervisor, which provides what is declared here."""

    _observer: Observer
    _clock: SteadyClock
    _log: SupervisionLog
    _redact: Callable[[str], str]
    _timetable: TimerHeap
    _dirty: dict[SupervisedTask, None]
    gate: DependencyGate
    canceller: Canceller
    random: random.Random

    @abstractmethod
    def _apply(self, task: SupervisedTask, event: Event, now: float, run: EndedRun | None = None) -> None: ...

    @abstractmethod
    def _hold_if_waiting(self, task: SupervisedTask, now: float) -> None: ...

    def _take_end(self, task: SupervisedTask, run: Run) -> bool:
        """The task is free again; False if the end of `run` is known already. `canceller.over` follows."""
        if run.ended:
            return False
        run.ended = True
        if run.reason is not None:
            self.canceller.ended(task, run)
        task.run = None
        return True

    def _succeeded(self, task: SupervisedTask, run: Run, now: float) -> None:
        before, policy = task.state, task.spec.policy
        healthy = (
            before.state is _RUNNING
            and before.failure_record.failing_since is None
            and not before.restart_pending
        )
        if healthy:
            after, _ = step(policy, before, _SUCCEEDED, now)
            task.state = after
            next_at = after.next_at
            if next_at is not None:
                self._timetable.plan(next_at, task.index)
            self._dirty[task] = None
            if self.gate.down:
                self._hold_if_waiting(task, now)
        else:
            self._apply(task, _SUCCEEDED, now, EndedRun(run.number, run.started_at, run.attempt, run.remote))
        if policy.continuous:
            task.announced = False
        task.add_success(run, now, urgent=not healthy)
        self._observer.succeeded(task, now - run.started_at, run.started_at - run.due_at)

    def _failed(
        self, task: SupervisedTask, run: Run, error: BaseException | None, now: float, *, outage: bool
    ) -> None:
        name, policy = task.spec.name, task.spec.policy
        ended = EndedRun(run.number, run.started_at, run.attempt, run.remote)
        if run.reason is StopReason.ASKED:
            # Whatever it raised on its way: clients make errors of their own of a cancellation.
            if not isinstance(error, asyncio.CancelledError):
                self._log.ended_with(name, error)
            elif not task.state.restart_pending:
                self._log.cancelled(name)
            task.announced = False
            self._apply(task, Cancelled(), now, ended)
            return
        error, failure = failure_of(run, error, policy, self._redact)
        task.announced = False
        if outage:
            logger.bind(task=name).warning(msg("log-task-held", name=name, error=failure.error_type))
            self._apply(task, Interrupted(failure), now, ended)
            self.gate.hold(task, now)
            return
        before = task.state
        event = Failed(failure, self.random.random())
        # Log first: were the log to fail, the state has not moved yet.
        self._log.failed(name, before.failures + 1, policy.max_consecutive_failures, error)
        self._apply(task, event, now, ended)
        after = task.state
        if after.state is State.BACKOFF and after.next_at is not None:
            self._log.restarting(name, after.next_at - now)
        elif after.state is State.STOPPED and before.state is not State.STOPPED:
            self._log.critical_stop(name, after, policy.max_failures)

    def stop_task(self, task: SupervisedTask, failure: Failure) -> None:
        """Stop a task that is in no run, because of a fatal `failure` that was found before the start."""
        self._apply(task, Failed(failure), self._clock.now())
        self._log.critical_stop(task.spec.name, task.state, task.spec.policy.max_failures)

    def on_heartbeat(self, task: SupervisedTask, run: Run) -> None:
        """A heartbeat of `run`."""
        if task.run is run:
            run.heartbeat_at = now = self._clock.now()
            self._apply(task, Heartbeat(), now, EndedRun(run.number, run.started_at, run.attempt, run.remote))
