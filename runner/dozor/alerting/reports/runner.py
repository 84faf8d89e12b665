"""Messages about the runner itself: its start, a changed configuration, notifications that were dropped."""

from __future__ import annotations

from dataclasses import replace

from dozor.alerting.incidents import startup as start
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.clock import Clock
from dozor.config.values.incident_kinds import Severity
from dozor.language import msg
from dozor.storage.journal import Commit, Dropped
from dozor.supervision.supervisor import Supervisor


class RunnerReports:
    """Queues them through the incident manager, which writes them."""

    def __init__(self, manager: IncidentManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock

    def started(self, supervisor: Supervisor, found: AlertData, *, silent: bool = False) -> None:
        """Report what a start has found: after an unclean end as an incident, else as a message.

        `silent`: a message without bad news is not sent, as after a hand-over between replicas of a cluster.

        Incidents of tasks that are not supervised any more are resolved first.
        """
        manager, now = self._manager, self._clock.now()
        manager.resolve_removed_tasks(supervisor)
        known = manager.store.find(start.KEY)
        found = replace(found, open_before=sum(one is not known for one in manager.open_incidents))
        decision = start.decide(manager.settings(None), known, found, now, manager.store.next_id)
        facts = start.incident_facts(found, decision.incident)
        changes = manager.planner.plan_notifications(decision, facts, now)
        severity = start.report_severity(found)
        if severity is not None and not (silent and severity is Severity.INFO):
            kind = NotificationKind.RUNNER_STARTED
            changes.notifications += manager.notifications.broadcast(kind, severity, found, now)
        manager.commit(changes)

    def reloaded(self, facts: AlertData, *, refused: bool = False) -> None:
        """Report what has become of a changed configuration."""
        kind = NotificationKind.RELOAD_REFUSED if refused else NotificationKind.RELOADED
        severity = Severity.WARNING if refused else Severity.INFO
        notes = self._manager.notifications.broadcast(kind, severity, facts, self._clock.now())
        self._manager.enqueue(notes)

    def dropped(self, dropped: Dropped) -> Commit:
        """The report that the journal's memory overflowed; the caller writes it."""
        text = msg("log-dropped", notifications=dropped.notifications, runs=dropped.runs)
        if dropped.incidents:
            text += msg("log-dropped-incidents", incidents=dropped.incidents)
        notes = self._manager.notifications.broadcast(
            NotificationKind.DROPPED, Severity.CRITICAL, AlertData(text=text), self._clock.now()
        )
        return Commit(notifications=tuple(to_row(note) for note in notes))
