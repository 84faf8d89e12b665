"""Starts that may not be made yet: beside a run of the task before it was removed and added again, and in a
cluster outside the window of trust or beside a former leader's run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from dozor.clean_context import CleanContext
from dozor.clock import SteadyClock
from dozor.config.values.choices import Isolation
from dozor.supervision.core.events import Event
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.start_gate import due_instead
from dozor.supervision.tasks.registry import TaskRegistry
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.timers import TimerHeap

LOOK_AGAIN = 0.1
"""Seconds until the next look at a run of a removed task."""


class HeldBack(Protocol):
    """`dozor.cluster.handover.HeldStarts` is one."""

    def look_again_at(self, task: str, now: float, *, in_process: bool) -> float | None:
        """None: `task` may start now. Else when to ask again; seconds since the epoch, as `now`.

        `in_process`: its runs are in child processes.
        """
        ...


class HeldStarts:
    """A part of the supervisor. `held` None: there is no cluster.

    `apply` gives an event to the state machine of a task.
    """

    def __init__(
        self,
        held: HeldBack | None,
        clock: SteadyClock,
        timetable: TimerHeap,
        apply: Callable[[SupervisedTask, Event, float], None],
        registry: TaskRegistry,
        contexts: CleanContext,
    ) -> None:
        self._held = held
        self._clock = clock
        self._timetable = timetable
        self._apply = apply
        self._registry = registry
        self._contexts = contexts

    @property
    def possible(self) -> bool:
        """Whether a start may have to wait here at all: asked before every start."""
        return self._held is not None or bool(self._registry.leaving)

    def until(self, task: SupervisedTask, now: float) -> float | None:
        """When to look again at a start of `task`; None: it may begin."""
        if self._registry.is_leaving(task.spec.name):
            return now + LOOK_AGAIN
        if self._held is None:
            return None
        in_process = task.spec.isolation is Isolation.PROCESS
        return self._held.look_again_at(task.spec.name, now, in_process=in_process)

    def start_later(self, task: SupervisedTask, event: Event, before: TaskState, later: float) -> None:
        """`event`, which is not that a start is due, has just brought `task` from `before` to a start."""
        if task.state.state is State.PAUSED:  # a paused task is never due: the event is applied again
            task.state = before
            delay = max(0.0, later - self._clock.now())
            asyncio.get_running_loop().call_later(
                delay, self._again, task, event, context=self._contexts.timers
            )
            return
        task.state = due_instead(before, task.state, later)
        self._timetable.plan(later, task.index)

    def _again(self, task: SupervisedTask, event: Event) -> None:
        present = self._registry.find(task.spec.name) is task
        if present and task.state.state is State.PAUSED and task.run is None:
            self._apply(task, event, self._clock.now())
