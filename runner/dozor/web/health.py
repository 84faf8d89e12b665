"""Liveness of the process and health of its tasks, judged from their last activity. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dozor.language import msg
from dozor.supervision.core.state import State
from dozor.supervision.monitoring.task_monitor import expected_since
from dozor.supervision.tasks.task import SupervisedTask

LATE_AFTER = 10.0
"""Seconds by which the control loop may be behind its own plan before it counts as stopped."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The control loop. `late`: seconds behind its plan; `last_tick`: seconds since it last did something."""

    late: float
    last_tick: float

    @property
    def alive(self) -> bool:
        return self.late <= LATE_AFTER


@dataclass(frozen=True, slots=True)
class Unwell:
    """A task that needs a person. `overdue_by` in seconds, None if it is stopped."""

    task: str
    state: State
    overdue_by: float | None

    @property
    def reason(self) -> str:
        if self.overdue_by is None:
            return msg("log-unwell-stopped", task=self.task)
        return msg("log-unwell-overdue", seconds=f"{self.overdue_by:.0f}")


def unwell(tasks: Iterable[SupervisedTask], now: float) -> list[Unwell]:
    """Stopped and overdue tasks."""
    found = []
    for task in tasks:
        if task.state.state is State.STOPPED:
            found.append(Unwell(task.spec.name, State.STOPPED, None))
        elif late := overdue_by(task, now):
            found.append(Unwell(task.spec.name, task.state.state, late))
    return found


def overdue_by(task: SupervisedTask, now: float) -> float | None:
    """Seconds beyond `overdue_after` without a success; 0 if there is time yet, None if there is no limit.

    By the same rule as the alert: a task that is stopped, paused or held has a message of its own.
    """
    policy = task.spec.policy
    if policy.overdue_after is None:
        return None
    since = expected_since(task, policy)
    return 0.0 if since is None else max(0.0, now - since - policy.overdue_after)
