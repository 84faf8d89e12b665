"""Checks every second what no event shows: missing successes, missing heartbeats, changes of the clock."""

from __future__ import annotations

import asyncio

from loguru import logger

from dozor.clock import ClockChange, SteadyClock
from dozor.language import msg
from dozor.supervision.core.clock_change import after_change
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.run import Run
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

ROUND_EVERY = 1.0
TOLERANCE = 0.1
"""Seconds by which the wall clock may be off before we follow it."""


class TaskMonitor:
    """Checks each task once a second, and follows a wall clock that was changed."""

    def __init__(self, supervisor: Supervisor, troubles: TroubleListener, clock: SteadyClock) -> None:
        self._supervisor = supervisor
        self._troubles = troubles
        self._clock = clock
        clock.subscribe(lambda change: change_clock(supervisor, change, clock.now()))

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            self.check()
            await asyncio.sleep(ROUND_EVERY)

    def check(self) -> None:
        """One round."""
        self.check_clock()
        now = self._clock.now()
        for task in self._supervisor.tasks:
            policy = task.spec.policy
            if policy.overdue_after is not None:
                self._check_overdue(task, policy.overdue_after, now)
            if task.backlog_limit is not None or task.behind:
                self._check_backlog(task, now)
            if policy.heartbeat_timeout is not None and task.run is not None:
                self._check_heartbeat(task, task.run, policy.heartbeat_timeout, now)

    def check_clock(self) -> None:
        """Follow a wall clock that was set, and time that was slept through."""
        change = self._clock.look()
        if abs(change.total) < TOLERANCE and change.slept < TOLERANCE:
            return
        self._clock.follow(change)
        logger.warning(
            msg("log-clock-moved", step=f"{change.step:+.1f}", slept=f"{change.slept:.1f}"),
        )

    def _check_overdue(self, task: SupervisedTask, limit: float, now: float) -> None:
        since = expected_since(task, task.spec.policy)
        late = since is not None and now - since > limit
        if late and not task.overdue and since is not None:
            task.overdue = True
            self._troubles.raised(_overdue(task, now - since))
        elif task.overdue and not late:
            task.overdue = False
            self._troubles.cleared(_overdue(task, 0.0))

    def _check_backlog(self, task: SupervisedTask, now: float) -> None:
        """It may succeed and yet fall behind."""
        size, oldest_at = task.backlog or (0, None)
        age = 0.0 if oldest_at is None else now - oldest_at.timestamp()
        behind = task.backlog_limit is not None and age > task.backlog_limit
        if behind == task.behind:
            return
        task.behind = behind
        name = task.spec.name
        trouble = Trouble(kind=TroubleKind.BACKLOG, subject=name, task=name, seconds=age, count=size)
        if behind:
            self._troubles.raised(trouble)
        else:
            self._troubles.cleared(trouble)

    def _check_heartbeat(self, task: SupervisedTask, run: Run, limit: float, now: float) -> None:
        if run.reason is None and now - run.heartbeat_at > limit:
            self._supervisor.silent(task, run)


def expected_since(task: SupervisedTask, policy: Policy) -> float | None:
    """Since when we wait for a success; None while none is to be expected.

    A critical stop, a pause and an outage have messages of their own.
    """
    state = task.state
    match state.state:
        case State.STOPPED | State.PAUSED | State.HELD:
            return None
        case State.WAITING | State.RUNNING | State.BACKOFF:
            times = [at for at in (task.healthy_since, state.succeeded_at) if at is not None]
            if policy.continuous and task.run is not None and task.run.heartbeat_at > task.run.started_at:
                times.append(task.run.heartbeat_at)
            return max(times, default=None)


def change_clock(supervisor: Supervisor, change: ClockChange, now: float) -> None:
    """Let every plan of `supervisor` follow."""
    for task in supervisor.tasks:
        task.state = _changed(task, change, now)
        if task.healthy_since is not None:
            task.healthy_since = now
        if task.run is not None:
            task.run.started_at += change.total
            task.run.heartbeat_at += change.total
    supervisor.plan_anew()


def _changed(task: SupervisedTask, change: ClockChange, now: float) -> TaskState:
    return after_change(task.spec.policy, task.state, change, now)


def _overdue(task: SupervisedTask, seconds: float) -> Trouble:
    name = task.spec.name
    return Trouble(kind=TroubleKind.OVERDUE, subject=name, task=name, seconds=seconds)
