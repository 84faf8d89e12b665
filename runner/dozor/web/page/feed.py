"""Numbers the changes of tasks, so that a page asks only for those it has not seen yet.

One feed serves all open pages: the tasks are compared once a second, however many pages are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dozor.clock import Clock
from dozor.control.task_states import Health, health_of
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask

LOOK_EVERY = 0.5
"""Seconds that a comparison is good for."""
HEALTHY_EVERY = 5.0
"""Seconds between two changes of a task that was healthy and still is: runs of a quick checker."""
REMOVED_KEPT = 10_000


@dataclass(slots=True)
class _Seen:
    """A task as it was when its last change was numbered (`at`: seconds since the epoch)."""

    state: object
    rest: tuple[Any, ...]
    healthy: bool
    at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What has happened since a revision. `tasks`: the latest change first; `removed`: names."""

    revision: int
    tasks: tuple[SupervisedTask, ...]
    removed: tuple[str, ...]


class TaskFeed:
    """`revision` grows with every change; `generation` distinguishes the revisions of two processes."""

    def __init__(self, supervisor: Supervisor, clock: Clock, generation: int) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._generation = generation
        self._seen: dict[str, _Seen] = {}
        self._changed: dict[str, int] = {}
        """Revision by name; the latest change last."""
        self._removed: dict[str, int] = {}
        self._revision = 0
        self._looked_at = float("-inf")

    def look(self) -> None:
        """Compare every task with what was seen of it last."""
        now = self._clock.now()
        if 0 <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        tasks = self._supervisor.tasks
        for task in tasks:
            self._look_at(task, now)
        if len(tasks) != len(self._seen):
            self._forget({task.spec.name for task in tasks})

    def token(self, revision: int | None = None) -> str:
        """What a page sends back to receive later changes."""
        return f"{self._generation}.{self._revision if revision is None else revision}"

    def since(self, token: str) -> Changes | None:
        """None: the token is not of this process, so the page must take everything anew."""
        generation, _, number = token.partition(".")
        if generation != str(self._generation) or not number.isdecimal() or len(number) > 18:
            return None
        revision = int(number)
        if revision > self._revision:
            return None
        return Changes(
            self._revision,
            tuple(self._changed_after(revision)),
            tuple(_names_after(self._removed, revision)),
        )

    def _changed_after(self, revision: int) -> Iterator[SupervisedTask]:
        for name in _names_after(self._changed, revision):
            task = self._supervisor.find(name)
            if task is not None:
                yield task

    def _look_at(self, task: SupervisedTask, now: float) -> None:
        name = task.spec.name
        seen = self._seen.get(name)
        rest = (task.spec, task.overdue, task.behind, task.progress, task.backlog)
        if seen is not None and seen.state is task.state and seen.rest == rest:
            return
        healthy = is_healthy(task)
        if seen is not None and healthy and seen.healthy and 0 <= now - seen.at < HEALTHY_EVERY:
            return
        self._seen[name] = _Seen(task.state, rest, healthy, now)
        self._revision += 1
        self._changed.pop(name, None)
        self._changed[name] = self._revision
        self._removed.pop(name, None)

    def _forget(self, names: set[str]) -> None:
        for name in [name for name in self._seen if name not in names]:
            del self._seen[name]
            self._changed.pop(name, None)
            self._revision += 1
            self._removed[name] = self._revision
        while len(self._removed) > REMOVED_KEPT:
            del self._removed[next(iter(self._removed))]


def is_healthy(task: SupervisedTask) -> bool:
    """It neither fails, is stopped, nor falls behind."""
    state = task.state
    return not (task.overdue or task.behind) and health_of(state.state, state.failures) is Health.WELL


def _names_after(revisions: dict[str, int], revision: int) -> Iterator[str]:
    for name in reversed(revisions):
        if revisions[name] <= revision:
            return
        yield name
