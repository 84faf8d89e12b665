"""Records in an incident why a message about it was queued, held back or only counted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dozor.alerting.incidents import rules
from dozor.alerting.model.decisions import Because, NotifyDecision, NotifyReason, record, was_decided
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import Notification, NotificationKind
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.supervision.core.state import State, TaskState

_ENDS = frozenset({Because.CALMING, Because.UNHEARD, Because.SAME_END, Because.UNCONFIGURED, Because.LAPSED})
"""Why there is no message about an end."""


def decided(incident: Incident, decision: NotifyDecision) -> Incident:
    return replace(incident, decisions=record(incident.decisions, decision))


def queued(incident: Incident, notes: Sequence[Notification], now: float) -> Incident:
    """`notes`: one message, by destination, on its way to the outbox; without any nothing is recorded."""
    if not notes:
        return incident
    first = notes[0]
    reason = NotifyReason.QUIET_HOURS if first.facts.quiet else NotifyReason.QUEUED
    places = tuple(note.destination for note in notes)
    return decided(incident, NotifyDecision(at=now, reason=reason, kind=first.kind.value, to=places))


def muted(incident: Incident, silence: Silence | None, kind: NotificationKind | None, now: float) -> Incident:
    """`silence`: the one that `incident.silenced_by` names; None if it is not known any more."""
    decision = NotifyDecision(at=now, reason=NotifyReason.MUTED, kind=kind, ref=incident.silenced_by)
    if silence is not None:
        decision = replace(
            decision, what=_scope(silence), by=silence.created_by or None, ends_at=silence.ends_at
        )
    return decided(incident, decision)


def inhibited(
    incident: Incident, cause: Incident | None, kind: NotificationKind | None, now: float
) -> Incident:
    """`cause`: the incident that `incident.explained_by` names."""
    what = None if cause is None else cause.fingerprint
    reason = NotifyReason.INHIBITED
    return decided(
        incident, NotifyDecision(at=now, reason=reason, kind=kind, ref=incident.explained_by, what=what)
    )


def grouped(incident: Incident, kind: NotificationKind | None, now: float) -> Incident:
    """Into the digest of `incident.storm`."""
    return decided(
        incident, NotifyDecision(at=now, reason=NotifyReason.GROUPED, kind=kind, ref=incident.storm)
    )


def counted(incident: Incident, because: Because, now: float) -> Incident:
    """No message; the end of what stands in a digest is in that digest."""
    kind = NotificationKind.RECOVERED if because in _ENDS else None
    if because is Because.UNHEARD and incident.storm is not None:
        return grouped(incident, kind, now)
    return decided(incident, NotifyDecision(at=now, reason=NotifyReason.COUNTED, because=because, kind=kind))


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


def withheld(
    settings: AlertSettings, incident: Incident, task: State | None, now: float
) -> NotifyReason | None:
    """Why no reminder is sent though one is due; None: none is due, or this was recorded for it already."""
    if incident.calm_since is not None or now < rules.next_reminder(settings, incident):
        return None
    reason, ref = None, None
    if incident.explained_by is not None:
        reason, ref = NotifyReason.INHIBITED, incident.explained_by
    elif incident.silenced_by is not None:
        reason, ref = NotifyReason.MUTED, incident.silenced_by
    elif incident.storm is not None:
        return None  # recorded when it was grouped; the storm has reminders of its own
    elif incident.state is IncidentState.ACKNOWLEDGED:
        reason = NotifyReason.ACKNOWLEDGED
    elif task is State.PAUSED:
        reason = NotifyReason.PAUSED
    if reason is None:
        return None
    known = was_decided(incident.decisions, reason, NotificationKind.REMINDER, ref, incident.notified_at)
    return None if known else reason


def acknowledged(incident: Incident, now: float) -> Incident:
    """A reminder is due, and somebody has taken the incident on."""
    decision = NotifyDecision(
        at=now,
        reason=NotifyReason.ACKNOWLEDGED,
        kind=NotificationKind.REMINDER,
        by=incident.acknowledged_by,
        ends_at=incident.ack_expires_at,
    )
    return decided(incident, decision)


def paused(incident: Incident, now: float) -> Incident:
    """A reminder is due, and a person has paused the task."""
    return decided(
        incident, NotifyDecision(at=now, reason=NotifyReason.PAUSED, kind=NotificationKind.REMINDER)
    )


def _scope(silence: Silence) -> str:
    """As `AlertCommand` names it: "all", "kind:overdue", "#12", a task."""
    match silence.scope:
        case SilenceScope.ALL:
            return "all"
        case SilenceScope.KIND:
            return f"kind:{silence.target}"
        case SilenceScope.INCIDENT:
            return f"#{silence.target}"
        case SilenceScope.TASK:
            return silence.target
