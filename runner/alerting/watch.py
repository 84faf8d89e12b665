"""The watch: hears the supervisor, keeps the incidents, and has everything written that must not be lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from runner.alerting import incident as rules
from runner.alerting.incident import AlertSettings, Decision, Incident, IncidentKind, IncidentState
from runner.alerting.notification import Facts, Notification, NotificationKind, Severity
from runner.alerting.outbox import to_row
from runner.clock import Clock
from runner.storage.incidents import IncidentRow
from runner.storage.journal import Commit, Dropped, Journal
from runner.storage.runs import RunRow
from runner.supervision.events import Cancelled, Failed, Interrupted, Restart
from runner.supervision.measures import Measures
from runner.supervision.state import RunOutcome, State
from runner.supervision.supervised import Supervised, run_id
from runner.supervision.supervisor import Supervisor, Transition


class Watch:
    """The supervisor's observer: one commit for each transition, with all that belongs to it."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        settings: Mapping[str, AlertSettings],
        open_incidents: Iterable[IncidentRow],
        last_incident_id: int,
        measures: Measures,
    ) -> None:
        self._measures = measures
        self.succeeded = measures.succeeded
        """Healthy runs are only counted (the checkpoint writes them), without a call in between."""
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._generation = journal.registration.runner_id
        self._incident_id = last_incident_id
        self._keys = 0
        self._open: dict[str, Incident] = {}
        for row in open_incidents:
            if row.task is not None:
                self._open[row.task] = _from_row(row)

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return tuple(self._open.values())

    # -- Observer

    def transition(self, transition: Transition) -> None:
        self._measures.transition(transition)
        task, before, after, now = transition.task, transition.before, transition.after, transition.now
        name = task.spec.name
        incident = self._open.get(name)
        decision = Decision(incident)
        runs: tuple[RunRow, ...] = ()
        match transition.event:
            case Failed() | Interrupted():
                runs = self._history(transition)
                if isinstance(transition.event, Failed):
                    decision = rules.on_failure(
                        self._settings[name], incident, before, after, now, self._incident_id + 1, name
                    )
            case Cancelled():
                runs = self._history(transition)
            case Restart(by):
                decision = rules.on_restart(incident, by, now)
            case _:
                pass
        if before.past.failing_since is not None and after.past.failing_since is None:
            decision = rules.on_recovery(incident, now)
        told = self._note(decision, transition)
        changed = decision.incident is not None and decision.incident is not incident
        self._journal.append(
            Commit(
                tasks=(task.row(),),
                runs=runs,
                incidents=(_to_row(decision.incident),) if changed and decision.incident else (),
                notifications=(to_row(told),) if told else (),
            )
        )

    def checker_alert(self, task: Supervised, text: str, severity: str) -> None:
        """A checker's own words."""
        told = self._notification(
            NotificationKind.CHECKER, Severity(severity), task.spec.name, None, Facts(text=text[:2000])
        )
        self._journal.append(Commit(notifications=(to_row(told),)))

    # -- by the clock, and by the runner itself

    def remind(self, supervisor: Supervisor) -> None:
        """Tell again of what nobody has reacted to."""
        now = self._clock.now()
        for name, incident in list(self._open.items()):
            task = supervisor.find(name)
            if task is None:
                continue
            decision = rules.reminder(self._settings[name], incident, task.state, now)
            if decision is None or decision.incident is None:
                continue
            self._open[name] = decision.incident
            told = self._notification(
                NotificationKind.REMINDER, incident.severity, name, incident.id, _facts(task, incident)
            )
            self._journal.append(
                Commit(incidents=(_to_row(decision.incident),), notifications=(to_row(told),))
            )

    def started(self, supervisor: Supervisor, *, unclean_before: bool) -> None:
        """Say what a new start has found: an unclean end, tasks that are stopped; close what is not ours."""
        gone = [incident for name, incident in self._open.items() if supervisor.find(name) is None]
        for incident in gone:
            del self._open[incident.task]
            closed = rules.on_recovery(incident, self._clock.now()).incident
            assert closed is not None
            self._journal.append(Commit(incidents=(_to_row(closed),)))
        if not unclean_before:
            return
        stopped = tuple(task.spec.name for task in supervisor.tasks if task.state.state is State.STOPPED)
        told = self._notification(
            NotificationKind.RUNNER_STARTED,
            Severity.WARNING,
            None,
            None,
            Facts(unclean_end=True, stopped_tasks=stopped),
        )
        self._journal.append(Commit(notifications=(to_row(told),)))

    def dropped(self, dropped: Dropped) -> Commit:
        """What to say when the journal's memory overflowed."""
        text = f"{dropped.notifications} notifications, {dropped.runs} rows of history"
        told = self._notification(NotificationKind.DROPPED, Severity.CRITICAL, None, None, Facts(text=text))
        return Commit(notifications=(to_row(told),))

    # -- inside

    def _note(self, decision: Decision, transition: Transition) -> Notification | None:
        incident = decision.incident
        if incident is None:
            return None
        self._incident_id = max(self._incident_id, incident.id)
        if incident.state is IncidentState.RESOLVED:
            self._open.pop(incident.task, None)
        else:
            self._open[incident.task] = incident
        if decision.tell is None:
            return None
        facts = _facts(transition.task, incident)
        if decision.tell is NotificationKind.RECOVERED:
            since = transition.before.past.failing_since
            began = incident.opened_at if since is None else since
            facts = Facts(failing_since=began, lasted=transition.now - began, by=incident.resolved_by)
        severity = Severity.INFO if decision.tell is NotificationKind.RECOVERED else incident.severity
        return self._notification(decision.tell, severity, incident.task, incident.id, facts)

    def _notification(
        self,
        kind: NotificationKind,
        severity: Severity,
        task: str | None,
        incident_id: int | None,
        facts: Facts,
    ) -> Notification:
        self._keys += 1
        return Notification(
            key=run_id(self._generation, self._keys),
            kind=kind,
            severity=severity,
            created_at=self._clock.now(),
            task=task,
            incident_id=incident_id,
            facts=facts,
        )

    def _history(self, transition: Transition) -> tuple[RunRow, ...]:
        """The ended run, after the successes before it."""
        task, run, now = transition.task, transition.run, transition.now
        stretch = task.take_stretch(self._generation)
        earlier = () if stretch is None else (stretch,)
        if run is None:
            return earlier
        failure = transition.after.past.failure
        if isinstance(transition.event, Cancelled | Interrupted):
            outcome = RunOutcome.CANCELLED
        else:
            assert failure is not None
            outcome = RunOutcome.TIMED_OUT if failure.timed_out else RunOutcome.FAILED
        failed = outcome is not RunOutcome.CANCELLED or isinstance(transition.event, Interrupted)
        seconds = now - run.started_at
        ended = RunRow(
            id=run_id(self._generation, run.number),
            task=task.spec.name,
            started_at=run.started_at,
            finished_at=now,
            outcome=outcome.value,
            seconds=seconds,
            seconds_max=seconds,
            attempt=run.attempt,
            error_type=failure.error_type if failed and failure else None,
            error_text=failure.error_text if failed and failure else None,
            traceback=failure.traceback if failed and failure else None,
        )
        return (*earlier, ended)


def _facts(task: Supervised, incident: Incident) -> Facts:
    state, policy = task.state, task.spec.policy
    failure = state.past.failure
    return Facts(
        failures=incident.failures,
        max_failures=policy.max_consecutive_failures,
        error_type=failure.error_type if failure else None,
        error_text=failure.error_text if failure else None,
        error_where=failure.where if failure else None,
        failing_since=state.past.failing_since,
        next_run_at=state.next_at,
    )


_SHARED = tuple(field.name for field in fields(IncidentRow))


def _to_row(incident: Incident) -> IncidentRow:
    return IncidentRow(**{name: getattr(incident, name) for name in _SHARED})


def _from_row(row: IncidentRow) -> Incident:
    assert row.task is not None
    return Incident(
        id=row.id,
        task=row.task,
        kind=IncidentKind(row.kind),
        severity=Severity(row.severity),
        state=IncidentState(row.state),
        fingerprint=row.fingerprint,
        summary=row.summary,
        failures=row.failures,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        notified_at=row.opened_at if row.notified_at is None else row.notified_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
    )
