"""The incident of a storm: its members, its digest, and its end when no member is open any more."""

from __future__ import annotations

from dozor.alerting.incidents import decisions, rules
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.pipeline.group import Group
from dozor.alerting.incidents.store import IncidentChanges, IncidentStore
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import NotifyDecision, NotifyReason
from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.config.values.incident_kinds import IncidentKind, Severity


class StormDigest:
    """Applies what the group stage has decided. Each method adds to the `changes` that it is given."""

    def __init__(self, store: IncidentStore, group: Group, notifications: NotificationFactory) -> None:
        self._store = store
        self._group = group
        self._notifications = notifications
        for incident in store.open():
            if incident.kind is IncidentKind.STORM:
                for member in store.members(incident.id):  # also of those that are resolved
                    notifications.add_member(incident.id, member)

    def begin(
        self, changes: IncidentChanges, number: int, first: Incident, absorbs: tuple[int, ...], now: float
    ) -> None:
        """Open the incident of a storm; the digest takes in the incidents `absorbs`."""
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
        self._queue(changes, storm, self._notifications.for_incident(storm, _DIGEST, AlertData(), now), now)
        for member in absorbs:
            self._take_in(changes, member, number, now)

    def changed(
        self, changes: IncidentChanges, member: Incident, previous: Incident | None, now: float
    ) -> None:
        """Count a member that was opened, changed or resolved.

        The digest is sent again when the storm has become critical, or worse than when it was acknowledged.
        """
        if member.storm is not None and member.kind is not IncidentKind.STORM:
            self._member_changed(changes, member, member.storm, previous, now)
        left = None if previous is None or not previous.is_open else previous.storm
        if left is not None and left != member.storm:
            self._count(changes, left, -1, now)  # it has its own messages again, or another digest

    def _member_changed(
        self, changes: IncidentChanges, member: Incident, number: int, previous: Incident | None, now: float
    ) -> None:
        storm = self._open_storm(changes, number)
        if storm is not None and member.is_open:
            known = self._notifications.destinations_of(storm)
            where = self._notifications.add_member(number, member)
            worse = _newly_critical(previous, member) and (
                storm.severity is not Severity.CRITICAL or storm.state is IncidentState.ACKNOWLEDGED
            )
            if worse:
                reopened = rules.unacknowledge(storm, now).incident or storm
                storm = replace(reopened, severity=Severity.CRITICAL)
            to = None if worse else [place for place in where if place not in known]
            if worse or to:
                notes = self._notifications.for_incident(storm, _DIGEST, AlertData(), now, to=to)
                self._queue(changes, storm, notes, now)
        counted = previous is not None and previous.storm == number and previous.is_open
        self._count(changes, number, int(member.is_open) - int(counted), now)

    def _take_in(self, changes: IncidentChanges, number: int, storm: int, now: float) -> None:
        """The digest shows the incident: its own message, if it still waits, need not leave."""
        known = self._store.by_id(number)
        if known is not None and known.is_open and not self._store.is_open(known.storm):
            decision = NotifyDecision(at=now, reason=NotifyReason.GROUPED, ref=storm)
            member = decisions.decided(replace(known, storm=storm, told=False), decision)
            self._store.keep(changes, member)
            self._member_changed(changes, member, storm, known, now)

    def _count(self, changes: IncidentChanges, number: int, more: int, now: float) -> None:
        """`more` of its members are open than before; without any the storm is over."""
        storm = self._open_storm(changes, number)
        if storm is None:
            return
        storm = replace(storm, updated_at=now, failures=storm.failures + more)
        notes: list[Notification] = []
        if storm.failures <= 0:
            storm = replace(storm, state=IncidentState.RESOLVED, resolved_at=now)
            self._group.storm_over(number)
            facts = AlertData(
                trouble=IncidentKind.STORM.value, failing_since=storm.opened_at, lasted=now - storm.opened_at
            )
            notes = self._notifications.for_incident(storm, NotificationKind.RECOVERED, facts, now)
            self._notifications.forget_storm(number)
        self._queue(changes, storm, notes, now)

    def _open_storm(self, changes: IncidentChanges, number: int) -> Incident | None:
        storm = changes.incidents.get(number) or self._store.by_id(number)
        return storm if storm is not None and storm.is_open else None

    def _queue(
        self, changes: IncidentChanges, storm: Incident, notes: list[Notification], now: float
    ) -> None:
        self._store.keep(changes, decisions.queued(storm, notes, now))
        changes.notifications += notes


_DIGEST = NotificationKind.STORM


def _newly_critical(previous: Incident | None, member: Incident) -> bool:
    before = previous is not None and previous.is_open and previous.storm == member.storm
    known = before and previous is not None and previous.severity is Severity.CRITICAL
    return member.severity is Severity.CRITICAL and not known
