"""Bugs on purpose: a simulation that finds none of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dozor.supervision.core import machine
from dozor.supervision.core.events import Interrupted
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.state import State, TaskState


@contextmanager
def _none() -> Iterator[None]:
    yield


@contextmanager
def _held() -> Iterator[None]:
    """What failed in an outage that is over by then is held, with no next step."""
    right = machine._interrupted

    def wrong(policy: Policy, task: TaskState, event: Interrupted, now: float) -> machine.Step:
        after, effects = right(policy, task, event, now)
        return (after._replace(next_at=None) if after.state is State.HELD else after), effects

    with _replaced("_interrupted", wrong):
        yield


@contextmanager
def _counted() -> Iterator[None]:
    """An outage counts as a failure of the checker: five minutes without a database stop it for good."""
    right = machine._interrupted

    def wrong(policy: Policy, task: TaskState, event: Interrupted, now: float) -> machine.Step:
        after, effects = right(policy, task, event, now)
        return after._replace(failures=after.failures + 1), effects

    with _replaced("_interrupted", wrong):
        yield


@contextmanager
def _replaced(name: str, wrong: Callable[..., Any]) -> Iterator[None]:
    right = getattr(machine, name)
    setattr(machine, name, wrong)
    try:
        yield
    finally:
        setattr(machine, name, right)


BUGS: dict[str | None, Callable[[], AbstractContextManager[None]]] = {
    None: _none,
    "held": _held,
    "counted": _counted,
}
