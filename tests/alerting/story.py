"""Events of a task, played to the incident manager with the real machine and rules, by a manual clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from dozor.alerting.incidents.manager import IncidentManager
from dozor.supervision.core.events import Cancelled, Due, Event, Failed, Restart, Succeeded
from dozor.supervision.core.machine import step
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import Failure, State, TaskState
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import EndedRun, Transition

NOW = 1764000060.0


@dataclass
class ManualClock:
    """Seconds since the epoch, moved by hand."""

    at: float = NOW

    def now(self) -> float:
        return self.at


def failure(
    text: str = "timed out", kind: str = "ConnectionError", where: str = "presales.py:41 in check"
) -> Failure:
    return Failure(kind, text, where, f"Traceback (most recent call last):\n{kind}: {text}")


async def _nothing() -> None:
    """Never called: these stories run no checkers."""


@dataclass
class Tasks:
    """What the incident manager asks the supervisor for."""

    all: dict[str, SupervisedTask] = field(default_factory=dict)

    def find(self, name: str) -> SupervisedTask | None:
        return self.all.get(name)

    @property
    def tasks(self) -> tuple[SupervisedTask, ...]:
        return tuple(self.all.values())


class Story:
    """One task. Each step is a run that ends `seconds` after the one before."""

    def __init__(
        self,
        manager: IncidentManager,
        clock: ManualClock,
        name: str = "presale_checker",
        policy: Policy | None = None,
    ) -> None:
        self.manager, self.clock, self.name = manager, clock, name
        spec = TaskSpec(name=name, function=_nothing, policy=policy or Policy())
        self.task = SupervisedTask(spec, 0, TaskState(State.WAITING, clock.now(), clock.now()))
        self.runs = 0

    def apply(self, event: Event, run: EndedRun | None = None) -> None:
        before = self.task.state
        after, _ = step(self.task.spec.policy, before, event, self.clock.now())
        if after is before:
            return
        self.task.state = after
        self.manager.transition(Transition(self.task, before, event, self.clock.now(), run))

    def fail(self, with_: Failure | None = None, *, after: float = 60.0) -> None:
        self._end(Failed(with_ or failure()), after)

    def succeed(self, *, after: float = 60.0) -> None:
        self._end(Succeeded(), after)

    def cancel(self, *, after: float = 60.0) -> None:
        self._end(Cancelled(), after)

    def restart(self, by: str = "telegram:111") -> None:
        self.apply(Restart(by))

    def _end(self, event: Event, after: float) -> None:
        self.clock.at += after
        if self.task.state.running_since is None:
            at = max(self.task.state.next_at or 0.0, self.clock.at - 1.0)
            state, _ = step(self.task.spec.policy, self.task.state._replace(next_at=at), Due(), at)
            self.task.state = state
        self.runs += 1
        started = self.task.state.running_since or self.clock.at
        if isinstance(event, Succeeded):
            run = Run(self.runs, started, started, self.task.state.failures + 1)
            self.task.add_success(run, self.clock.at, urgent=True)
        self.apply(event, EndedRun(self.runs, started, self.task.state.failures + 1))
