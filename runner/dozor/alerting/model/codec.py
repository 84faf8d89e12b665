"""Converts notifications to rows of the outbox and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.config.values.incident_kinds import Severity
from dozor.storage.tables.notifications import ClaimedNotification, NotificationRow

_KINDS = set(NotificationKind)
_FACTS = {field.name for field in fields(AlertData)}
_DEFAULTS = asdict(AlertData())
_values = attrgetter(*_DEFAULTS)


def to_row(notification: Notification) -> NotificationRow:
    """Fields that do not apply are left out."""
    return NotificationRow(
        key=notification.key,
        kind=notification.kind.value,
        severity=notification.severity.value,
        created_at=notification.created_at,
        payload=facts_to_json(notification.facts),
        incident_id=notification.incident_id,
        task=notification.task,
        destination=notification.destination,
        priority=notification.priority,
        expires_at=notification.expires_at,
    )


def facts_to_json(facts: AlertData) -> dict[str, Any]:
    """Only what applies."""
    return {
        name: value
        for (name, default), value in zip(_DEFAULTS.items(), _values(facts), strict=True)
        if value is not None and value is not default and value != default
    }


def facts_from_json(values: dict[str, Any]) -> AlertData:
    """Fields of a newer version are left out."""
    known: dict[str, Any] = {name: value for name, value in values.items() if name in _FACTS}
    for name, value in known.items():
        if isinstance(value, list):
            known[name] = tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return AlertData(**known)


def from_row(row: NotificationRow) -> Notification:
    """As it was queued, before any attempt to send it."""
    return from_claimed(ClaimedNotification(id=0, row=row, attempts=1, unknown_outcomes=0, shown_on=None))


def from_claimed(claimed: ClaimedNotification) -> Notification:
    """As it was queued; fields of a newer version are left out.

    A kind of a newer version becomes OTHER: a row of a newer version must not block those behind it.
    """
    row = claimed.row
    return Notification(
        key=row.key,
        kind=NotificationKind(row.kind) if row.kind in _KINDS else NotificationKind.OTHER,
        severity=Severity(row.severity),
        created_at=row.created_at,
        task=row.task,
        incident_id=row.incident_id,
        facts=facts_from_json(row.payload),
        destination=row.destination,
        priority=row.priority,
        expires_at=row.expires_at,
        possible_duplicate=claimed.unknown_outcomes > 0,
    )


def stored_facts(incident: Incident) -> AlertData:
    """As they were when the incident last changed."""
    return facts_from_json(incident.facts)
