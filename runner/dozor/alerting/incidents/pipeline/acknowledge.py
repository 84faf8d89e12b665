"""Stage 5, acknowledge: holds reminders and escalations while somebody has acknowledged the incident."""

from __future__ import annotations

from dozor.alerting.incidents.pipeline.stage import Candidate, Held
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import NotifyReason
from dozor.alerting.model.incident import IncidentState
from dozor.alerting.model.notification import NotificationKind
from dozor.supervision.core.state import State


def acknowledge(candidate: Candidate) -> Candidate | Held:
    """A person has acknowledged the incident, or paused its task (which holds reminders only). Pure."""
    incident = candidate.incident
    if not candidate.due:
        return candidate
    if incident.state is IncidentState.ACKNOWLEDGED:
        decision = candidate.decision(NotifyReason.ACKNOWLEDGED)
        decision = replace(decision, by=incident.acknowledged_by, ends_at=incident.ack_expires_at)
        return Held(incident, decision)
    if candidate.task is State.PAUSED and candidate.kind is NotificationKind.REMINDER:
        return Held(incident, candidate.decision(NotifyReason.PAUSED))
    return candidate
