"""What must hold in every world, whatever the seed does to it."""

from __future__ import annotations

from dozor.alerting.incidents.manager import IncidentManager
from dozor.supervision.core.events import Cancelled, Failed, Interrupted, Restart, Succeeded
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.metrics import RunMetrics
from tests.simulation.database import Database

SLACK = 60.0
"""Seconds that a plan may be overdue: a run starts within milliseconds of virtual time."""


class BrokenInvariantError(AssertionError):
    """`str()` says which, when, and of which seed."""


class Referee:
    """Stands between supervisor and manager: counts streaks by itself, and sees that everything is told."""

    def __init__(
        self, manager: IncidentManager, measures: RunMetrics, streaks: dict[str, int], say: str
    ) -> None:
        self._watch = manager
        self._measures = measures
        self.streaks = streaks
        self._say = say
        self.dead = False
        """The process has been killed: what its remains do is nobody's business."""
        self.lines: list[str] = []
        self.broken: list[str] = []
        """Kept, not raised: supervision survives whatever an observer raises."""

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        if not self.dead:
            self._expect(task.spec.name, 0, task.state, "a success")
            self._watch.succeeded(task, seconds, lateness)

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self._watch.checker_alert(task, text, severity)

    def transition(self, transition: Transition) -> None:
        if self.dead:
            return
        task, before, after = transition.task, transition.before, transition.after
        name = task.spec.name
        expected = self.streaks.get(name, 0)
        match transition.event:
            case Failed():
                expected = expected if before.restart_pending else expected + 1
            case Succeeded() | Restart():
                expected = 0
            case Interrupted() | Cancelled():
                pass
            case _:
                if after.failures == 0 and task.spec.policy.continuous:
                    expected = 0  # proven healthy, by a heartbeat or by time
        self._expect(name, expected, after, type(transition.event).__name__)
        self._watch.transition(transition)
        stops = after.state is State.STOPPED and before.state is not State.STOPPED
        if stops and not self._watch.store.failures_of(name):
            self.broken.append(f"{self._say}: {name} was stopped and no incident is open")
        self.lines.append(f"{transition.now:.3f} {name} {type(transition.event).__name__} {after.state}")

    def _expect(self, name: str, failures: int, state: TaskState, what: str) -> None:
        if state.failures != failures:
            self.broken.append(
                f"{self._say}: after {what} the streak of {name} is {state.failures}, it should be {failures}"
            )
        self.streaks[name] = failures


def look_at_tasks(
    supervisor: Supervisor, manager: IncidentManager, database: Database, now: float, say: str
) -> None:
    """Each task has a next step, or a person has been told."""
    for task in supervisor.tasks:
        problem = _problem(task, manager, database, now)
        if problem is not None:
            raise BrokenInvariantError(f"{say}: {task.spec.name} {problem}: {_short(task.state)}")


def _short(state: TaskState) -> str:
    return f"{state.state}, next at {state.next_at}, running since {state.running_since}"


def _problem(task: SupervisedTask, manager: IncidentManager, database: Database, now: float) -> str | None:
    state, policy = task.state, task.spec.policy
    late = state.next_at is not None and state.next_at < now - SLACK
    match state.state:
        case State.WAITING | State.BACKOFF:
            if state.next_at is None:
                return "has no next step"
            return "is late for its next step" if late else None
        case State.RUNNING:
            if task.run is None:
                return "says that it runs, and nothing does"
            if policy.timeout is not None and late:
                return "runs beyond its time limit and nobody looks"
            return None
        case State.HELD:
            if database.up and state.next_at is None:
                return "is held, and what it requires is up"
            return "is late for its next step" if late else None
        case State.STOPPED:
            if late:
                return "is late for its next try"
            told = manager.store.failures_of(task.spec.name)
            return None if told else "is stopped, and no incident says so"
        case State.PAUSED:
            return None if state.failure_record.last_actor is not None else "is paused by nobody"


def look_at_outbox(database: Database, say: str) -> None:
    """At the end, when the chat has been well for long: nothing is owed and forgotten."""
    for owed in database.pending.values():
        raise BrokenInvariantError(
            f"{say}: message {owed.id} ({owed.row.kind}) is owed for ever: {owed.state}"
        )
    for shown in database.living.items():
        (_, number), message = shown
        incident = database.incidents.get(number)
        if incident is not None and incident.state == "resolved" and message.message_id <= 0:
            raise BrokenInvariantError(f"{say}: incident {number} is over and its message does not say so")
