"""How planned times change when the clock is set, or the machine was suspended. Pure. See docs/schedules.md.

Intervals and time limits count elapsed time: they do not move when the clock is set. A time limit
counts only time awake. Cron goes by the wall clock: ticks that were jumped over become one, or are skipped;
ticks that were already made are not made again, unless the clock goes back by more than three hours.
"""

from __future__ import annotations

import math

from dozor.clock import ClockChange
from dozor.config.values.schedules import Continuous, Cron, Every
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import cron_after
from dozor.supervision.core.state import State, TaskState

CORRECTION = 3 * 3600.0
"""Seconds. A clock set back further was wrong before: cron goes by the new time at once, as Debian's does."""


def after_change(policy: Policy, task: TaskState, change: ClockChange, now: float) -> TaskState:
    """`task` as it is to be, `now` being the time that is shown after the change."""
    if task.running_since is not None:
        return _running(policy, task, change, now)
    if task.next_at is None:
        return task
    match policy.schedule:
        case Cron() if task.state is State.WAITING:
            return _at(task, _cron(policy, policy.schedule, task.next_at, change, now))
        case Every(seconds) if task.state is State.WAITING and policy.skip_missed:
            at = task.next_at + change.step
            if change.slept and at < now:
                at += math.ceil((now - at) / seconds) * seconds
            return _at(task, at)
        case Every() | Continuous() | Cron():
            return _at(task, task.next_at + change.step)


def _running(policy: Policy, task: TaskState, change: ClockChange, now: float) -> TaskState:
    """Its limits count time awake; the tick it was due at stays that tick."""
    assert task.running_since is not None
    due = task.due_at
    if due is not None:
        match policy.schedule:
            case Cron():
                due = min(due, now) if change.total < -CORRECTION else due
            case Every() | Continuous():
                due += change.step
    return task._replace(
        running_since=task.running_since + change.total,
        started_at=None if task.started_at is None else task.started_at + change.total,
        next_at=None if task.next_at is None else task.next_at + change.total,
        due_at=due,
    )


def _cron(policy: Policy, cron: Cron, at: float, change: ClockChange, now: float) -> float:
    if change.total < -CORRECTION or (policy.skip_missed and at < now):
        return cron_after(cron, now - policy.offset) + policy.offset
    return at


def _at(task: TaskState, at: float) -> TaskState:
    return task._replace(next_at=at, due_at=at)
