"""What to do with a claimed message, given its incident as it is now: send, edit or drop it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.decisions import Because, NotifyReason
from dozor.alerting.model.incident import Incident, IncidentState, read
from dozor.alerting.model.notification import FIRING, Notification, NotificationKind
from dozor.config.values.incident_kinds import Severity
from dozor.storage.tables.notifications import ClaimedNotification


@dataclass(frozen=True, slots=True)
class Send:
    """As a new message. `is_live`: it is the one that is edited from now on."""

    note: Notification
    is_live: bool = False
    supersedes_all: bool = False
    """Other pending messages there about the incident are settled by this one."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Edit the live message instead of sending a new one."""

    message_id: int
    otherwise: Send
    """If that message is gone."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Not worth sending any more. `state`: superseded or expired; `reason`, `because`: the same in detail."""

    state: str
    why: str
    reason: NotifyReason
    because: Because | None = None


Step = Send | Edit | Drop


def plan(claimed: ClaimedNotification, note: Notification, now: float, *, can_edit: bool) -> Step:
    """`now`: seconds since the epoch. `can_edit`: the transport can change what it has sent."""
    if note.expires_at is not None and now >= note.expires_at:
        return Drop("expired", "too old to be worth anything", NotifyReason.EXPIRED)
    incident = read(claimed.incident)
    if incident is None:
        return Send(note)
    if note.kind in FIRING:
        return _firing(claimed, note, incident)
    match note.kind:
        case NotificationKind.RECOVERED:
            return _recovered(claimed, note, incident, can_edit=can_edit)
        case NotificationKind.REMINDER | NotificationKind.ESCALATION:
            if incident.state is not IncidentState.OPEN:
                return _superseded(f"it is {incident.state} by now", Because.TAKEN)
            return Send(note)
        case _:
            return Send(note)


def _firing(claimed: ClaimedNotification, note: Notification, incident: Incident) -> Step:
    if incident.storm is not None and not incident.told and not claimed.fired:
        return Drop("superseded", "it is in the digest of a storm", NotifyReason.GROUPED)
    if incident.is_open and note.facts.retold and claimed.living_id is not None:
        return _superseded("it is shown there already", Because.SAID)
    if incident.is_open:
        # A digest is made when it leaves: an older one that still waits is as new as this.
        return Send(note, is_live=True, supersedes_all=note.kind is NotificationKind.STORM)
    if claimed.fired:
        return _superseded("it is over by now", Because.OVER)
    known = stored_facts(incident)
    began = known.failing_since or note.facts.failing_since
    since = incident.opened_at if began is None else began
    over = incident.updated_at if incident.resolved_at is None else incident.resolved_at
    facts = replace(
        note.facts,
        failing_since=since,
        lasted=max(0.0, over - since),
        failures=known.failures or note.facts.failures,
        ended=known.ended,
        by=incident.resolved_by,
        next_run_at=None,
    )
    past = replace(note, kind=NotificationKind.PAST, severity=Severity.INFO, facts=facts)
    return Send(past, is_live=True, supersedes_all=True)


def _recovered(
    claimed: ClaimedNotification, note: Notification, incident: Incident, *, can_edit: bool
) -> Step:
    if incident.is_open:
        return _superseded("it is broken again by now", Because.BROKEN_AGAIN)
    if not claimed.fired:
        return _superseded("nobody here was told that it was broken", Because.UNHEARD)
    silently = incident.severity is not Severity.CRITICAL or note.facts.in_storm
    if can_edit and claimed.living_id is not None and silently:
        return Edit(claimed.living_id, Send(note))
    return Send(note)


def _superseded(why: str, because: Because) -> Drop:
    return Drop("superseded", why, NotifyReason.SUPERSEDED, because)
