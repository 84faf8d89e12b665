"""Policies and histories of tasks for the tests of the state machine."""

from __future__ import annotations

from dozor.config.sections.tasks import Continuous, Every
from dozor.supervision.core.events import (
    Due,
    Event,
    Failed,
)
from dozor.supervision.core.machine import restore, step
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.state import Failure, TaskState

BOOM = Failure("ValueError", "boom", "checker.py:1 in check", "Traceback …")
FATAL = Failure("Fatal", "no such account", "checker.py:1 in check", "Traceback …", fatal=True)
PERIODIC = Policy(schedule=Every(60.0), restart_delay=RestartDelay.fixed(10.0), max_consecutive_failures=3)
FOREVER = Policy(
    schedule=Continuous(),
    restart_delay=RestartDelay.fixed(10.0),
    max_consecutive_failures=3,
    stable_after=100.0,
)
PROBED = Policy(schedule=Every(60.0), max_consecutive_failures=1, stop_retry_every=600.0)


def play(policy: Policy, *events: tuple[float, Event], state: TaskState | None = None) -> TaskState:
    """The state after `events`, each at its time."""
    task = restore(policy, state, 0.0)
    for now, event in events:
        task, _ = step(policy, task, event, now)
    return task


def failing(policy: Policy, times: int, *, apart: float = 10.0) -> TaskState:
    """A task that has failed `times` in a row."""
    events: list[tuple[float, Event]] = []
    for index in range(times):
        events += [(index * apart, Due()), (index * apart, Failed(BOOM))]
    return play(policy, *events)
