"""The registry of supervised tasks by name and by number."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from dozor.storage.journal import Checkpoint
from dozor.supervision.tasks.checkpoint import collect
from dozor.supervision.tasks.task import SupervisedTask


class TaskRegistry:
    """A task keeps its number for good; the number of a removed one is not given again."""

    __slots__ = ("_by_name", "dirty", "leaving", "slots")

    def __init__(self) -> None:
        self.slots: list[SupervisedTask | None] = []
        """By number; None if it has been removed. For reading."""
        self._by_name: dict[str, SupervisedTask] = {}
        self.leaving: dict[str, SupervisedTask] = {}
        """By name: removed while a run was in progress, which may have ended since. For reading."""
        self.dirty: dict[SupervisedTask, None] = {}
        """What is not written to the database yet, the longest waiting first."""

    @property
    def tasks(self) -> tuple[SupervisedTask, ...]:
        """In the order in which they came."""
        return tuple(self._by_name.values())

    @property
    def numbers(self) -> int:
        """How many numbers have been given."""
        return len(self.slots)

    def find(self, name: str) -> SupervisedTask | None:
        return self._by_name.get(name)

    def add(self, task: SupervisedTask) -> None:
        """`task.index` must be `numbers`."""
        assert task.index == len(self.slots)
        self.slots.append(task)
        self._by_name[task.spec.name] = task
        self.dirty[task] = None

    def remove(self, task: SupervisedTask) -> None:
        """The outcome of its run is not reported; until the run has ended, `is_leaving`."""
        self.slots[task.index] = None
        self._by_name.pop(task.spec.name, None)
        if task.run is not None:
            self.leaving[task.spec.name] = task
        self.dirty.pop(task, None)

    @property
    def in_runs(self) -> list[SupervisedTask]:
        """Those in a run, removed ones included."""
        return [task for task in (*self._by_name.values(), *self.leaving.values()) if task.run is not None]

    def is_leaving(self, name: str) -> bool:
        """Whether a run of a removed task of this name is still in progress."""
        task = self.leaving.get(name)
        if task is not None and task.run is None:
            self.forget(task)
        return name in self.leaving

    def forget(self, task: SupervisedTask) -> None:
        """The run of a removed task has ended."""
        if self.leaving.get(task.spec.name) is task:
            del self.leaving[task.spec.name]

    def mark_dirty(self, *tasks: SupervisedTask) -> None:
        for task in tasks:
            self.dirty[task] = None

    def take_checkpoint(
        self,
        generation: int,
        now: float,
        *,
        last: bool,
        limit: int,
        first: Collection[SupervisedTask] = (),
    ) -> Checkpoint:
        """What has changed since the last one, of `first` and `limit` others; it counts as written from now
        on."""
        taken: list[SupervisedTask] = [task for task in first if task in self.dirty]
        for task in taken:
            del self.dirty[task]
        others = list(islice(self.dirty, limit))
        taken += others
        for task in others:
            del self.dirty[task]
        return collect(taken, generation, now, last=last, more=bool(self.dirty))
