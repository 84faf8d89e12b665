"""Tasks come, change and go while the others run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dozor.supervision.core.machine import restore
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import TaskState
from dozor.supervision.tasks.task import Supervised

if TYPE_CHECKING:
    from dozor.supervision.supervisor import Supervisor


class Membership:
    """The part of a supervisor that changes which tasks it has. `end` asks a task's run to come to an end."""

    def __init__(self, supervisor: Supervisor, end: Callable[[Supervised], None]) -> None:
        self._supervisor = supervisor
        self._end = end

    def add(self, spec: TaskSpec, stored: TaskState | None, now: float, *, spread: float = 0.0) -> Supervised:
        """One more; it runs as its schedule says, from now on."""
        supervisor = self._supervisor
        task = Supervised(spec, supervisor.roster.numbers, restore(spec.policy, stored, now, spread=spread))
        task.healthy_since = now
        supervisor.roster.add(task)
        supervisor.children.give(task, supervisor.words_of(task))
        return task

    def replace(self, spec: TaskSpec, now: float) -> None:
        """New rules for a task that is there. A run in progress is asked to end; streak, stop, pause stay."""
        supervisor = self._supervisor
        task = supervisor.roster.find(spec.name)
        assert task is not None
        supervisor.children.take(task)
        task.spec = spec
        supervisor.children.give(task, supervisor.words_of(task))
        task.healthy_since = now
        if task.run is not None:
            self._end(task)
        else:
            task.state = restore(replace(spec.policy, run_at_start=False), task.state, now)
        supervisor.roster.mark_dirty(task)

    def remove(self, name: str) -> None:
        """Supervise it no longer. A run in progress is asked to end; what becomes of it is not told."""
        supervisor = self._supervisor
        task = supervisor.roster.find(name)
        assert task is not None
        if task.run is not None:
            self._end(task)
        supervisor.children.take(task)
        supervisor.roster.remove(task)
