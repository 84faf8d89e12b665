"""Live messages: the present text of an incident, its buttons, and the digest of a storm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.incident import Incident, IncidentState, firing
from dozor.alerting.model.message import Button
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.policy.silences import Silence
from dozor.alerting.rendering import phrases
from dozor.alerting.rendering import startup_phrases as start_phrases
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.tables.incidents import StormGroup

STORM_CAUSES = 12
"""Causes that a digest names; the others are behind its button."""

Rows = tuple[tuple[Button, ...], ...]


def live_notification(
    incident: Incident, silence: Silence | None = None, storm: Sequence[StormGroup] = ()
) -> Notification:
    """The present content of its live message."""
    facts = stored_facts(incident)
    if incident.kind is IncidentKind.STORM:
        facts = digest_facts(storm, incident)
    facts = replace(
        facts,
        trouble=facts.trouble or (None if incident.task else incident.kind.value),
        about=incident.kind.value,
        by=incident.resolved_by,
        occurrences=incident.occurrences,
        acknowledged_by=incident.acknowledged_by if incident.is_open else None,
        acknowledged_until=incident.ack_expires_at if incident.is_open else None,
        calm_since=incident.calm_since,
        silenced=silence is not None,
        silenced_until=None if silence is None else silence.ends_at,
    )
    kind = firing(incident)
    severity = incident.severity
    if not incident.is_open:
        kind, severity = NotificationKind.RECOVERED, Severity.INFO
        began = facts.failing_since or incident.opened_at
        ended = incident.resolved_at or incident.updated_at
        facts = replace(facts, failing_since=began, lasted=ended - began, by=incident.resolved_by)
    return Notification(
        key=str(incident.id),
        kind=kind,
        severity=severity,
        created_at=incident.opened_at,
        task=incident.task,
        incident_id=incident.id,
        facts=facts,
    )


def with_digest(facts: AlertData, groups: Sequence[StormGroup], incident: Incident) -> AlertData:
    """The data of another message about a storm, with its causes as they are now."""
    now = digest_facts(groups, incident)
    return replace(facts, trouble=now.trouble, count=now.count, failures=now.failures, lines=now.lines)


def digest_facts(groups: Sequence[StormGroup], incident: Incident) -> AlertData:
    """A digest: what is critical first, then what is open, by cause, with counts."""
    total = sum(group.count for group in groups)
    lines = [_group_line(group) for group in groups[:STORM_CAUSES]]
    if len(groups) > STORM_CAUSES:
        left = groups[STORM_CAUSES:]
        lines.append(f"… +{len(left)}: {sum(group.open for group in left)}/{sum(g.count for g in left)}")
    return AlertData(
        trouble=IncidentKind.STORM.value,
        failing_since=incident.opened_at,
        count=total or incident.failures,
        failures=sum(group.open for group in groups),
        lines=tuple(lines),
    )


def storm_groups(members: Iterable[Incident]) -> list[StormGroup]:
    """A storm's incidents by cause, the worst first: as the database has them, from memory."""
    causes: dict[tuple[IncidentKind, str], list[Incident]] = {}
    for member in members:
        causes.setdefault((member.kind, member.fingerprint), []).append(member)
    return sorted((_group(same) for same in causes.values()), key=lambda group: group.rank)


def _group(same: Sequence[Incident]) -> StormGroup:
    open_first = sorted(same, key=lambda one: (not one.is_open, one.id))
    critical = any(one.severity is Severity.CRITICAL for one in same)
    return StormGroup(
        severity="critical" if critical else "warning",
        kind=same[0].kind.value,
        fingerprint=same[0].fingerprint,
        summary=same[0].summary,
        count=len(same),
        open=sum(one.is_open for one in same),
        tasks=tuple(one.task for one in open_first if one.task is not None)[:3],
    )


def _group_line(group: StormGroup) -> str:
    sign = phrases.mark(Severity(group.severity), over=group.open == 0)
    parts = [f"{sign} {group.open}/{group.count}", shorten(one_line(group.summary), 90)]
    shown = group.open or group.count  # what is open comes first
    names = list(group.tasks[: min(3, shown)])
    if names:  # an incident without a task has none
        parts.append(", ".join([*names, "…"] if shown > len(names) else names))
    return " · ".join(parts)


def buttons(incident: Incident, say: phrases.Phrasebook) -> Rows:
    """For the actions that are possible now."""
    restarts: Rows = ()
    if incident.kind is IncidentKind.UNCLEAN_END:
        restarts = start_phrases.restarts(say, stored_facts(incident).stopped_tasks)
    if not incident.is_open:
        return restarts
    target = str(incident.id)

    def button(label: str, action: str, what: str = target) -> Button:
        return Button(label, encode(Origin.ALERT, action, what))

    taken = incident.state is IncidentState.ACKNOWLEDGED
    first = [button(say("button-unack"), "unack") if taken else button(say("button-ack"), "ack")]
    if incident.kind is IncidentKind.CRITICAL_STOP and incident.task:
        first.insert(0, button(say("button-restart"), "restart", incident.task))
    if incident.kind is IncidentKind.STORM:
        return ((button(say("button-storm"), "storm"),), tuple(first))
    if incident.silenced_by is not None:
        second = [button(say("button-unsilence"), "unsilence-incident")]
    else:
        second = [
            button(say("button-silence-hour"), "silence-1h"),
            button(say("button-silence-hours"), "silence-4h"),
            button(say("button-silence-until"), "silence-until"),
        ]
    rows = [*restarts, tuple(first), tuple(second)]
    if incident.kind in (IncidentKind.REPEATED_ERRORS, IncidentKind.CRITICAL_STOP):
        rows.append((button(say("button-traceback"), "traceback"),))
    return tuple(rows)
