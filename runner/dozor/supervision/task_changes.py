"""Adds, changes and removes tasks while the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dozor.supervision.core.machine import restore
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import TaskState
from dozor.supervision.execution.process.pool import ProcessPool
from dozor.supervision.runs.context import Reporter
from dozor.supervision.runs.resources import Resources
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.registry import TaskRegistry
from dozor.supervision.tasks.task import SupervisedTask


class TaskChanges:
    """The part of a supervisor that changes which tasks it has.

    `reports_of` gives the reports of a task's runs to its child process; `end` asks a task's run to end.
    """

    def __init__(
        self,
        registry: TaskRegistry,
        children: ProcessPool,
        reports_of: Callable[[SupervisedTask], Callable[[Run], Reporter]],
        end: Callable[[SupervisedTask], None],
        resources: Resources | None = None,
    ) -> None:
        self._registry = registry
        self._children = children
        self._reports_of = reports_of
        self._end = end
        self._resources = resources

    def add(
        self, spec: TaskSpec, stored: TaskState | None, now: float, *, spread: float = 0.0
    ) -> SupervisedTask:
        """Add a task; it runs on its schedule from now on."""
        task = SupervisedTask(spec, self._registry.numbers, restore(spec.policy, stored, now, spread=spread))
        task.healthy_since = now
        self._registry.add(task)
        self._children.give(task, self._reports_of(task))
        return task

    def replace(self, spec: TaskSpec, now: float) -> None:
        """New rules for a task that is there. A run in progress is asked to end; streak, stop, pause stay."""
        task = self._registry.find(spec.name)
        assert task is not None
        self._children.take(task)
        self._retire_setup(task)
        task.spec = spec
        self._children.give(task, self._reports_of(task))
        task.healthy_since = now
        if task.run is not None:
            self._end(task)
        else:
            task.state = restore(replace(spec.policy, run_at_start=False), task.state, now)
            task.held_for = frozenset()  # the new rules may require something else
        self._registry.mark_dirty(task)

    def remove(self, name: str) -> None:
        """Stop supervising it. A run in progress is asked to end; its outcome is not reported."""
        task = self._registry.find(name)
        assert task is not None
        if task.run is not None:
            self._end(task)
        self._children.take(task)
        self._retire_setup(task)
        self._registry.remove(task)

    def renew(self, task: SupervisedTask) -> None:
        """For a restart by a person: a fresh process, with the code that is on disk, and a fresh setup."""
        if task.child is not None:
            task.child.retire()
        self._retire_setup(task)

    def _retire_setup(self, task: SupervisedTask) -> None:
        if self._resources is not None:
            self._resources.retire(task.spec.name, None if task.run is None else task.run.task)
