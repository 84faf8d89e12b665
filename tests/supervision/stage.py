"""A supervisor on the test's own loop, and an observer that remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dozor.clock import SteadyClock
from dozor.config.imports.signatures import takes_context
from dozor.config.sections.tasks import Every, Isolation
from dozor.process.child_deadlines import ChildDeadlines
from dozor.supervision.core.events import Failed
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import Failure, State, TaskState
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.execution.executor import IsOutage, never_an_outage
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.observer import Trouble

QUICK = RestartDelay.fixed(0.01)


class Seen:
    """Everything that was told."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.successes: dict[str, int] = {}
        self.alerts: list[tuple[str, str]] = []
        self.troubles: list[Trouble] = []
        self.changes: list[Trouble] = []
        self.over: list[Trouble] = []

    def transition(self, transition: Transition) -> None:
        self.transitions.append(transition)

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        name = task.spec.name
        self.successes[name] = self.successes.get(name, 0) + 1

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self.alerts.append((text, severity))

    def raised(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)

    def changed(self, trouble: Trouble) -> None:
        self.changes.append(trouble)

    def cleared(self, trouble: Trouble) -> None:
        self.over.append(trouble)

    def failures(self, name: str) -> list[Failure]:
        return [
            seen.event.failure
            for seen in self.transitions
            if isinstance(seen.event, Failed) and seen.task.spec.name == name
        ]


def spec(name: str, function: Callable[..., Any], **given: Any) -> TaskSpec:
    """A task that runs and restarts quickly unless `given` says otherwise; keys of a spec or of a policy."""
    own = {
        key: given.pop(key)
        for key in (
            *("isolation", "args", "max_memory", "max_runs", "on_hang", "reference", "env", "unusable"),
            "setup",
        )
        if key in given
    }
    rules: dict[str, Any] = {
        "schedule": Every(0.01),
        "restart_delay": QUICK,
        "max_consecutive_failures": 3,
    } | given
    own.setdefault("isolation", Isolation.INLINE)
    return TaskSpec(
        name=name, function=function, takes_context=takes_context(function), policy=Policy(**rules), **own
    )


@asynccontextmanager
async def supervising(
    *specs: TaskSpec,
    grace: float = 0.2,
    patience: float = 0.1,
    dsn: str | None = None,
    folder: Path = Path(__file__).parent,
    clock: SteadyClock | None = None,
    withheld: frozenset[str] = frozenset(),
    deadlines: ChildDeadlines | None = None,
    is_outage: IsOutage = never_an_outage,
) -> AsyncIterator[tuple[Supervisor, Seen]]:
    seen = Seen()
    supervisor = Supervisor(
        specs,
        observer=seen,
        clock=clock or SteadyClock(),
        log=SupervisionLog(),
        generation=7,
        grace=grace,
        launch=Launch(dsn=dsn, folder=folder, withheld=withheld, deadlines=deadlines),
        canceller=Canceller(seen, patience=patience),
        is_outage=is_outage,
    )
    supervisor.start()
    try:
        yield supervisor, seen
    finally:
        await supervisor.stop()


def state_of(supervisor: Supervisor, name: str) -> TaskState:
    task = supervisor.find(name)
    assert task is not None
    return task.state


def is_stopped(supervisor: Supervisor, name: str) -> Callable[[], bool]:
    return lambda: state_of(supervisor, name).state is State.STOPPED
