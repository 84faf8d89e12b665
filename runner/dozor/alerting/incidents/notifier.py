"""Who is told of a decision, and how loudly: explained, silenced, in a storm, by night, or plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dozor.alerting.incidents import decisions, rules
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import Admission, StormGate
from dozor.alerting.model.codec import facts_to_json, stored_facts
from dozor.alerting.model.decisions import Because, NotifyReason
from dozor.alerting.model.full_text import ATTACHABLE, without_attachment
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentKind, IncidentState, firing
from dozor.alerting.model.notification import (
    FIRING,
    Facts,
    Notification,
    NotificationKind,
    Severity,
    expires_at_for,
    priority,
)
from dozor.alerting.policy.silences import Silence, covering
from dozor.supervision.core.state import State

NO_DIGEST = frozenset({IncidentKind.UNCLEAN_END, IncidentKind.DEPENDENCY, IncidentKind.TELEGRAM})
"""No storm swallows what a start has to say, what explains others, or that a chat takes no digest."""

Routes = Callable[[str | None, Severity], tuple[str, ...]]
"""Where a message about a task goes, by how loud it is."""


def everything_to_the_chat(task: str | None, severity: Severity) -> tuple[str, ...]:
    return ("",)


@dataclass(slots=True)
class IncidentChanges:
    """What a decision comes to: incidents to be written, messages to be owed."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)

    def add(self, other: IncidentChanges) -> None:
        self.incidents.update(other.incidents)
        self.notifications.extend(other.notifications)


class NotificationPlanner:
    """Keeps the book and the storm. `new_key` makes keys that are unique for ever."""

    def __init__(
        self,
        book: IncidentStore,
        new_key: Callable[[], str],
        *,
        routes: Routes = everything_to_the_chat,
        quiet_at: Callable[[float], bool] = lambda now: False,
    ) -> None:
        self.book = book
        self._new_key = new_key
        self._routes = routes
        self._quiet_at = quiet_at
        self._gate = StormGate()
        self._storm: int | None = None
        self._group_destinations: dict[int, set[str]] = {}
        # By open storm: where it is told, so that every chat hears of what would have been told there.
        self.silences: dict[int, Silence] = {}
        self.inhibited_by: Callable[[Incident], int | None] = lambda incident: None
        """The id of the open dependency's incident that explains this one."""
        for incident in book.open():
            if incident.kind is IncidentKind.STORM:
                self._storm = incident.id
                self._gate.resume(incident.opened_at, incident.updated_at)
                for member in book.members(incident.id):  # also of those that are well again
                    self._add_destinations(incident.id, member)

    def plan_notifications(
        self, decision: Decision, facts: Facts, now: float, *, to: Iterable[str] | None = None
    ) -> IncidentChanges:
        """Put the incident into the book, and find out who hears of it.

        `facts`: what a message may say. `to`: these destinations, whatever the routes say.
        """
        incident = decision.incident
        if incident is None:
            return IncidentChanges()
        previous = self.book.by_id(incident.id)
        incident = replace(incident, facts=facts_to_json(without_attachment(facts)))
        told = IncidentChanges()
        kind, because = decision.tell, decision.because
        if kind is None and _reopened_unnotified(previous, incident):
            kind = NotificationKind.FLAPPING
        if kind in FIRING:
            because = None
            incident, kind = self._mute_and_group(told, incident, kind, now)
        elif _newly_hushed(previous, incident):
            incident = self._held_back(incident, None, now)
        if kind is NotificationKind.RECOVERED and not self._heard(previous):
            kind, because = None, Because.UNHEARD
        if kind is NotificationKind.RECOVERED:
            facts = replace(facts, in_storm=self._is_open(incident.storm))
        if kind is None and because is not None:
            incident = decisions.counted(incident, because, now)
        notes = [] if kind is None else self.for_incident(incident, kind, facts, now, to=to)
        incident = decisions.queued(incident, notes, now)
        self._keep(told, incident)
        if incident.storm is not None and incident.kind is not IncidentKind.STORM:
            self._storm_changed(told, incident, previous, now)
        left = None if previous is None or not previous.is_open else previous.storm
        if left is not None and left != incident.storm:
            self._count(told, left, -1, now)  # it is told by itself from now on, or in another digest
        told.notifications += notes
        return told

    def withhold_reminder(
        self, incident: Incident, settings: AlertSettings, task: State | None, now: float
    ) -> IncidentChanges:
        """Record, once for each reminder that is due, why it is not sent. `task`: the state of its task."""
        told = IncidentChanges()
        match decisions.withheld(settings, incident, task, now):
            case None:
                return told
            case NotifyReason.ACKNOWLEDGED:
                self._keep(told, decisions.acknowledged(incident, now))
            case NotifyReason.PAUSED:
                self._keep(told, decisions.paused(incident, now))
            case _:
                self._keep(told, self._held_back(incident, NotificationKind.REMINDER, now))
        return told

    def notify_after_unmute(self, incident: Incident, now: float) -> IncidentChanges:
        """It was silenced or explained, and is so no more; unless something else keeps it quiet still."""
        freed = replace(incident, silenced_by=None, explained_by=None, updated_at=now, notified_at=now)
        facts = stored_facts(incident)
        if not incident.told and incident.storm is None:
            return self.plan_notifications(
                Decision(replace(freed, level_since=now), firing(freed)), facts, now
            )
        # Of what stands in a digest its storm's message tells.
        hushed = self.muted(freed, now)
        kind = None if hushed is not None or incident.storm is not None else NotificationKind.REMINDER
        return self.plan_notifications(Decision(hushed or freed, kind), facts, now)

    def for_incident(
        self,
        incident: Incident,
        kind: NotificationKind,
        facts: Facts,
        now: float,
        *,
        to: Iterable[str] | None = None,
    ) -> list[Notification]:
        """A message about the incident to each destination (`to`: to these)."""
        recovered = kind in (NotificationKind.RECOVERED, NotificationKind.PAST)
        severity = Severity.INFO if recovered else incident.severity
        where = self._destinations_of(incident) if to is None else to
        return self.broadcast(
            kind, severity, facts, now, task=incident.task, incident_id=incident.id, to=where
        )

    def broadcast(
        self,
        kind: NotificationKind,
        severity: Severity,
        facts: Facts,
        now: float,
        *,
        task: str | None = None,
        incident_id: int | None = None,
        to: Iterable[str] | None = None,
    ) -> list[Notification]:
        """A message to each destination."""
        if severity is not Severity.CRITICAL and self._quiet_at(now):
            facts = replace(facts, quiet=True)
        if kind not in ATTACHABLE:
            facts = without_attachment(facts)
        key = self._new_key()
        return [
            Notification(
                key=f"{key}@{destination}" if destination else key,
                kind=kind,
                severity=severity,
                created_at=now,
                task=task,
                incident_id=incident_id,
                facts=facts,
                destination=destination,
                priority=priority(kind, severity),
                expires_at=expires_at_for(kind, now),
            )
            for destination in (self._routes(task, severity) if to is None else to)
        ]

    # -- gates

    def _mute_and_group(
        self, told: IncidentChanges, incident: Incident, kind: NotificationKind | None, now: float
    ) -> tuple[Incident, NotificationKind | None]:
        """As it is to be told, or not: (incident, None) if nobody is told of it by itself."""
        fresh = self.book.by_id(incident.id) is None
        untold = replace(incident, told=incident.told and not fresh)
        if (hushed := self.muted(untold, now)) is not None:
            return self._held_back(hushed, kind, now), None
        alone = replace(incident, told=True, storm=None, explained_by=None, silenced_by=None)
        if incident.kind in NO_DIGEST:
            return alone, kind
        admission = self._gate.admit(incident.id, now)
        if admission is Admission.ALONE:
            return alone, kind
        storm = incident.storm if self._is_open(incident.storm) else self._storm
        if admission is Admission.BEGIN or storm is None or not self._is_open(storm):
            storm = self._storm = self._begin_storm(told, incident, now)
            for number in self._gate.waiting:
                self._take_in(told, number, storm, now)
        member = replace(untold, storm=storm, explained_by=None, silenced_by=None)
        return decisions.grouped(member, kind, now), None

    def muted(self, incident: Incident, now: float) -> Incident | None:
        """Marked with what keeps it quiet: a dependency's incident or a silence; None: neither does."""
        if (explained := self.inhibited_by(incident)) is not None:
            return replace(incident, explained_by=explained)
        silence = covering(
            self.silences.values(), now, incident=incident.id, task=incident.task, kind=incident.kind
        )
        return None if silence is None else replace(incident, silenced_by=silence.id)

    def _held_back(self, incident: Incident, kind: NotificationKind | None, now: float) -> Incident:
        """With the reason recorded: what `hushed` has marked it with."""
        cause = None if incident.explained_by is None else self.book.by_id(incident.explained_by)
        if incident.silenced_by is None or (cause is not None and cause.is_open):
            return decisions.inhibited(incident, cause, kind, now)
        return decisions.muted(incident, self.silences.get(incident.silenced_by), kind, now)

    def _take_in(self, told: IncidentChanges, number: int, storm: int, now: float) -> None:
        """It is in the digest: its own message, if it still waits, need not leave."""
        known = self.book.by_id(number)
        if known is not None and known.is_open and not self._is_open(known.storm):
            member = decisions.grouped(replace(known, storm=storm, told=False), None, now)
            self._keep(told, member)
            self._storm_changed(told, member, known, now)

    def _begin_storm(self, told: IncidentChanges, first: Incident, now: float) -> int:
        number = max(self.book.next_id, first.id + 1)
        storm = Incident(
            id=number,
            task=None,
            kind=IncidentKind.STORM,
            severity=first.severity,
            state=IncidentState.OPEN,
            fingerprint=str(number),
            summary="",
            failures=0,
            opened_at=now,
            updated_at=now,
            notified_at=now,
            level_since=now,
        )
        notes = self.for_incident(storm, NotificationKind.STORM, Facts(), now)
        self._keep(told, decisions.queued(storm, notes, now))
        told.notifications += notes
        return number

    def _storm_changed(
        self, told: IncidentChanges, member: Incident, previous: Incident | None, now: float
    ) -> None:
        """The digest shows it; told anew when it has become critical, or worse than who took it on knew."""
        assert member.storm is not None
        storm = self._open_storm(told, member.storm)
        if storm is not None and member.is_open:
            newly = self._add_destinations(storm.id, member, known=self._destinations_of(storm))
            louder = _newly_critical(previous, member) and (
                storm.severity is not Severity.CRITICAL or storm.state is IncidentState.ACKNOWLEDGED
            )
            if louder:
                worse = rules.unacknowledge(storm, now).incident or storm
                storm = replace(worse, severity=Severity.CRITICAL)
            to = None if louder else newly
            notes = self.for_incident(storm, NotificationKind.STORM, Facts(), now, to=to)
            self._keep(told, decisions.queued(storm, notes, now))
            told.notifications += notes
        counted = previous is not None and previous.storm == member.storm and previous.is_open
        self._count(told, member.storm, int(member.is_open) - int(counted), now)

    def _count(self, told: IncidentChanges, number: int, more: int, now: float) -> None:
        """`more` of its incidents are open; that none is any more is told once."""
        storm = self._open_storm(told, number)
        if storm is None:
            return
        storm = replace(storm, updated_at=now, failures=storm.failures + more)
        if storm.failures <= 0:
            storm = replace(storm, state=IncidentState.RESOLVED, resolved_at=now)
            if number == self._storm:
                self._gate.calm()
            facts = Facts(trouble=IncidentKind.STORM.value, failing_since=storm.opened_at)
            notes = self.for_incident(storm, NotificationKind.RECOVERED, facts, now)
            storm = decisions.queued(storm, notes, now)
            told.notifications += notes
            self._group_destinations.pop(number, None)
        self._keep(told, storm)

    def _add_destinations(self, storm: int, member: Incident, known: Iterable[str] = ()) -> list[str]:
        """Where the member is told, the storm is from now on; the places that are not in `known`."""
        where = self._routes(member.task, member.severity)
        self._group_destinations.setdefault(storm, set()).update(where)
        return [place for place in where if place not in known]

    def _destinations_of(self, incident: Incident) -> tuple[str, ...]:
        places = self._routes(incident.task, incident.severity)
        more = self._group_destinations.get(incident.id, ())
        return (*places, *sorted(place for place in more if place not in places))

    def _open_storm(self, told: IncidentChanges, number: int) -> Incident | None:
        storm = told.incidents.get(number) or self.book.by_id(number)
        return storm if storm is not None and storm.is_open else None

    def _keep(self, told: IncidentChanges, incident: Incident) -> None:
        self.book.put(incident)
        told.incidents[incident.id] = incident

    def _is_open(self, incident_id: int | None) -> bool:
        found = None if incident_id is None else self.book.by_id(incident_id)
        return found is not None and found.is_open

    @staticmethod
    def _heard(previous: Incident | None) -> bool:
        return previous is not None and previous.told


def _reopened_unnotified(previous: Incident | None, incident: Incident) -> bool:
    """It has come back too often to be told again, and yet nobody was told, or something kept it quiet."""
    back = previous is not None and not previous.is_open and incident.is_open
    return back and (incident.quiet or not incident.told)


def _newly_hushed(previous: Incident | None, incident: Incident) -> bool:
    """Silenced or explained from now on, without a message that would have left now."""
    marks = incident.silenced_by, incident.explained_by
    before = (None, None) if previous is None else (previous.silenced_by, previous.explained_by)
    return incident.is_open and marks not in {(None, None), before}


def _newly_critical(previous: Incident | None, member: Incident) -> bool:
    before = previous is not None and previous.is_open and previous.storm == member.storm
    known = before and previous is not None and previous.severity is Severity.CRITICAL
    return member.severity is Severity.CRITICAL and not known
