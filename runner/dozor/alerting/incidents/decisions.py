"""Records decisions about messages in the incident that they are about. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import Because, NotifyDecision, NotifyReason, record
from dozor.alerting.model.incident import AlertSettings, Incident
from dozor.alerting.model.notification import Notification
from dozor.supervision.core.state import TaskState


def decided(incident: Incident, decision: NotifyDecision) -> Incident:
    """With the decision appended to its log."""
    return replace(incident, decisions=record(incident.decisions, decision))


def queued(incident: Incident, notes: Sequence[Notification], now: float) -> Incident:
    """`notes`: one message, by destination, on its way to the outbox; without any nothing is recorded."""
    if not notes:
        return incident
    first = notes[0]
    reason = NotifyReason.QUIET_HOURS if first.facts.quiet else NotifyReason.QUEUED
    places = tuple(note.destination for note in notes)
    return decided(incident, NotifyDecision(at=now, reason=reason, kind=first.kind.value, to=places))


def below_threshold(incident: Incident, settings: AlertSettings, state: TaskState, now: float) -> Incident:
    """The failures of the streak before the one that has opened the incident."""
    before = min(state.failures, settings.repeated_errors) - 1
    if before < 1:
        return incident
    decision = NotifyDecision(
        at=state.failure_record.failing_since or now,
        reason=NotifyReason.COUNTED,
        because=Because.THRESHOLD,
        times=before,
    )
    return decided(incident, decision)
