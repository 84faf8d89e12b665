"""Is the process alive, are its tasks well? Pure: judged from what the loop and the tasks really did last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runner.supervision.state import State, TaskState
from runner.supervision.supervised import Supervised

LATE_AFTER = 10.0
"""Seconds by which the control loop may be behind its own plan before it counts as dead."""


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
            return f"stopped: dozor restart {self.task}"
        return f"overdue by {self.overdue_by:.0f} s"


def unwell(
    tasks: Iterable[Supervised], overdue_after: Mapping[str, float], started_at: float, now: float
) -> list[Unwell]:
    """Stopped and overdue tasks. A task that never succeeded is measured from `started_at`."""
    found = []
    for task in tasks:
        state = task.state
        if state.state is State.STOPPED:
            found.append(Unwell(task.spec.name, state.state, None))
            continue
        limit = overdue_after.get(task.spec.name)
        if limit is None:
            continue
        late = overdue_by(state, limit, started_at, now)
        if late > 0:
            found.append(Unwell(task.spec.name, state.state, late))
    return found


def overdue_by(state: TaskState, limit: float, started_at: float, now: float) -> float:
    """Seconds beyond `limit` without a success; 0 if there is time yet, or a person has paused the task."""
    if state.state is State.PAUSED:
        return 0.0
    since = state.succeeded_at if state.succeeded_at is not None else started_at
    return max(0.0, now - since - limit)
