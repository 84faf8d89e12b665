"""Interfaces of listeners: changes of state, and troubles that no change of state shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # every command of the command line imports this module, for the names of troubles
    from dozor.storage.postgres.checker_pool import Holder
    from dozor.supervision.core.events import Event
    from dozor.supervision.core.state import TaskState
    from dozor.supervision.tasks.task import SupervisedTask


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that is over."""

    number: int
    started_at: float
    attempt: int
    remote: str | None = None
    """Its id, if a worker had it: an adopted run keeps the id that it began with."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that may need a message. Healthy runs of healthy tasks cause none."""

    task: SupervisedTask
    before: TaskState
    event: Event
    now: float
    run: EndedRun | None = None

    @property
    def after(self) -> TaskState:
        return self.task.state


class Observer(Protocol):
    """Called for each change, in the same turn of the loop. Must not block, and must not raise."""

    def transition(self, transition: Transition) -> None: ...
    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None: ...
    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None: ...


UNKNOWN_BLOCKER = "event loop"
"""Subject of a blocked loop when the step belongs to no task. An identifier, the same in every language."""


class TroubleKind(StrEnum):
    """Troubles beside failures. Each is raised once and cleared once for its subject."""

    HUNG = "hung"
    """A run that ignores its cancellation. Subject: the task."""
    OVERDUE = "overdue"
    """No success for longer than `overdue_after`. Subject: the task."""
    BACKLOG = "backlog"
    """The oldest item waits for longer than its checker allows. Subject: the task."""
    BLOCKED_LOOP = "blocked_loop"
    """The event loop was blocked: nothing ran but one step. Subject: who did it, or `UNKNOWN_BLOCKER`."""
    DEPENDENCY = "dependency"
    """Something that tasks require is down. Subject: its name."""
    LIMIT = "limit"
    """The runner exceeds a limit. Subject: which."""
    NO_WORKER = "no_worker"
    """No worker takes the runs of a pool. Subject: the pool."""
    POOL_EXHAUSTED = "pool_exhausted"
    """Runs wait for a connection while other runs hold them all. Subject: the pool, `ctx.db`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong; what does not apply is empty. Durations in seconds."""

    kind: TroubleKind
    subject: str
    task: str | None = None
    seconds: float | None = None
    """For how long it lasts, or lasted."""
    chain: tuple[str, ...] = ()
    """Where a run is, or the stack that was seen most."""
    waiting: tuple[str, ...] = ()
    """Tasks that wait for the subject at this moment."""
    explains: tuple[str, ...] = ()
    """Tasks whose own troubles it explains; of a dependency, all that require it."""
    count: int | None = None
    """Of what is too many."""
    holders: tuple[Holder, ...] = ()
    """Who holds the connections of an exhausted pool, the longest first."""
    reason: str = ""
    """In the words of whoever noticed it: an error, "512 MB of at most 400 MB"."""


class TroubleListener(Protocol):
    """Called for troubles, in the same turn of the loop. Must not block, and must not raise."""

    def raised(self, trouble: Trouble) -> None: ...
    def changed(self, trouble: Trouble) -> None:
        """What was reported of a trouble that continues is out of date."""
        ...

    def cleared(self, trouble: Trouble) -> None: ...


class NullTroubleListener:
    """For supervision without alerts."""

    def raised(self, trouble: Trouble) -> None:
        """Not told."""

    def changed(self, trouble: Trouble) -> None:
        """Not told."""

    def cleared(self, trouble: Trouble) -> None:
        """Not told."""
