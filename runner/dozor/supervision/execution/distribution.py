"""Runs that workers carry out: the interface between the supervisor and their distribution.

A third kind of execution beside a call in this process and a process of its own. The run is queued with the
checkpoint that holds the state of its task, and its end is consumed with the checkpoint that holds what
follows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from dozor.storage.tables.pool_runs import PoolChanges, StopRequest
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.task import SupervisedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """A run in progress that an earlier leader began. Times are seconds since the epoch.

    `counted`: the stored state of its task contains its start, which is written a moment after it.
    """

    id: str
    due_at: float
    started_at: float
    attempt: int
    counted: bool


def adopted_state(state: TaskState, found: RemoteRun, now: float) -> TaskState:
    """The state of a task whose run `found` goes on; stopped and paused stay so. Pure."""
    if not found.counted:
        state = state._replace(runs_total=state.runs_total + 1, started_at=found.started_at)
    return state._replace(
        state=state.state if state.state in (State.STOPPED, State.PAUSED) else State.RUNNING,
        next_at=now,
        due_at=found.due_at,
        running_since=found.started_at,
    )


class Distributor(Protocol):
    """Queues runs and reports their ends. No method waits or raises."""

    def start(self, task: SupervisedTask, run: Run) -> None:
        """Have `run` queued with the next checkpoint."""
        ...

    def stop(self, run: Run, request: StopRequest) -> None:
        """Have it asked to stop, or cancelled. Its end is reported as of any other."""
        ...

    @property
    def touched(self) -> Collection[SupervisedTask]:
        """Tasks whose states belong to what `take` gives."""
        ...

    def take(self) -> PoolChanges | None:
        """What is to be written with the states of `touched`, which is empty afterwards."""
        ...


class NoDistributor:
    """Without a cluster: no task has a pool."""

    @property
    def touched(self) -> Collection[SupervisedTask]:
        return ()

    def start(self, task: SupervisedTask, run: Run) -> None:
        raise AssertionError(f"{task.spec.name}: a pool without a cluster")

    def stop(self, run: Run, request: StopRequest) -> None:
        """No run is a worker's."""

    def take(self) -> PoolChanges | None:
        return None
