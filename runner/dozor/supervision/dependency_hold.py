"""Dependency outages: tasks that require a dependency are held while it is down, and released staggered."""

from __future__ import annotations

from collections.abc import Callable

from dozor.clock import Clock
from dozor.config.values.requirements import DATABASE
from dozor.supervision.core.events import DependencyDown, DependencyUp, Event
from dozor.supervision.core.schedule import stagger
from dozor.supervision.core.state import State
from dozor.supervision.tasks.registry import TaskRegistry
from dozor.supervision.tasks.task import SupervisedTask

_DATABASE = frozenset((DATABASE,))


class DependencyGate:
    """What is down, and what each held task waits for. `apply` applies an event to a task."""

    def __init__(
        self, registry: TaskRegistry, clock: Clock, apply: Callable[[SupervisedTask, Event, float], None]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._apply = apply
        self._subscribers: list[Callable[[], None]] = []
        self.down: frozenset[str] = frozenset()

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` when a task begins or ceases to wait for something. It must not raise."""
        self._subscribers.append(changed)

    def changed(self, name: str, *, up: bool) -> None:
        """`name` has come back, or is gone."""
        now = self._clock.now()
        if not up:
            self.down |= {name}
            for task in self._registry.tasks:
                self.hold(task, now)
            return
        self.down -= {name}
        held = [task for task in self._registry.tasks if task.state.state is State.HELD]
        released = []
        for task in held:
            task.held_for &= self.down
            if not task.held_for:
                released.append(task)
        for index, task in enumerate(released):
            task.healthy_since = now
            self._apply(task, DependencyUp(stagger(task.spec.policy, index, len(released))), now)
        self._notify()

    def hold(self, task: SupervisedTask, now: float) -> None:
        """If something that it needs is down, and it is not running."""
        needs = task.spec.policy.needs
        if task.state.state is State.HELD:
            # It failed because our database is away, whether it is among its `requires` or not.
            needs |= _DATABASE
        missing = self.down & needs
        if missing:
            self._apply(task, DependencyDown(), now)
            if task.state.state is State.HELD and not missing <= task.held_for:
                task.held_for |= missing
                self._notify()

    def left(self, task: SupervisedTask) -> None:
        """It is held no longer: released, or a person decided otherwise."""
        if task.held_for:
            task.held_for = frozenset()
            self._notify()

    def waiting_for(self, name: str) -> tuple[str, ...]:
        """The tasks that are held at this moment because `name` is down."""
        return tuple(
            task.spec.name
            for task in self._registry.tasks
            if name in task.held_for and task.state.state is State.HELD
        )

    def requiring(self, name: str) -> tuple[str, ...]:
        """The tasks whose troubles an outage of `name` explains: they require it, or wait for it."""
        return tuple(
            task.spec.name
            for task in self._registry.tasks
            if name in task.spec.policy.needs or name in task.held_for
        )

    def _notify(self) -> None:
        for changed in self._subscribers:
            changed()
