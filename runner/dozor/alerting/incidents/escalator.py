"""Escalates incidents that nobody acknowledges: calls the people of the next level by name."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.alerting.incidents import decisions
from dozor.alerting.incidents.facts import storm_facts
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import Decision, Due
from dozor.alerting.incidents.store import IncidentChanges
from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.copies import replace
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import Notification, NotificationKind
from dozor.alerting.policy.escalation import Level, calls_for, due_level
from dozor.alerting.policy.oncall import OnCall
from dozor.config.values.incident_kinds import IncidentKind
from dozor.storage.tables.silences import OverrideRow
from dozor.supervision.core.state import State


class Escalator:
    """`overrides`: who replaces whom on call; the owner of the list adds to it."""

    def __init__(
        self,
        planner: NotificationPlanner,
        notifications: NotificationFactory,
        levels: tuple[Level, ...],
        oncall: OnCall,
        overrides: Sequence[OverrideRow],
    ) -> None:
        self._planner = planner
        self._notifications = notifications
        self._levels = levels
        self._oncall = oncall
        self._overrides = overrides

    def check(self, incident: Incident, task: State | None, now: float) -> IncidentChanges:
        """Call the next level if it is due, or record why it is not called. `task`: its task's state."""
        due = due_level(self._levels, incident, now)
        if due is None:
            return IncidentChanges()
        raised = replace(incident, level=incident.level + 1)
        decision = Decision(raised, NotificationKind.ESCALATION, due=Due(due.at, incident))
        held = self._planner.hold_due(decision, task, now)
        if held is not None:
            return held
        notes = self._calls(raised, due.level, task, now)
        changes = self._planner.plan_notifications(
            Decision(decisions.queued(raised, notes, now)), stored_facts(incident), now
        )
        changes.notifications += notes
        return changes

    def _calls(self, incident: Incident, level: Level, task: State | None, now: float) -> list[Notification]:
        known = storm_facts(incident) if incident.kind is IncidentKind.STORM else stored_facts(incident)
        facts = replace(
            known,
            level=incident.level,
            failing_since=known.failing_since or incident.opened_at,
            by=incident.resolved_by,
            task_state=None if task is None else task.value,
        )
        if incident.level < len(self._levels):
            following = self._levels[incident.level]
            since = incident.opened_at if incident.level_since is None else incident.level_since
            at = since + following.after
            calls = calls_for(following, self._oncall, self._overrides, at)
            names = dict.fromkeys(person.name for call in calls for person in call.people)
            facts = replace(facts, next_call_at=at, next_called=", ".join(names) or None)
        notes: list[Notification] = []
        for call in calls_for(level, self._oncall, self._overrides, now):
            named = replace(
                facts,
                mention=", ".join(person.called for person in call.people) or None,
                called=tuple((person.called, person.mention_id) for person in call.people),
            )
            to = (call.destination,)
            notes += self._notifications.for_incident(
                incident, NotificationKind.ESCALATION, named, now, to=to
            )
        return notes
