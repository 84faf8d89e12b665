"""Between a notification and its row in the outbox."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from runner.alerting.notification import Facts, Notification, NotificationKind, Severity
from runner.storage.notifications import ClaimedNotification, NotificationRow

_KINDS = set(NotificationKind)
_FACTS = {field.name for field in fields(Facts)}


def to_row(notification: Notification) -> NotificationRow:
    """Facts that do not apply are left out."""
    facts = {
        name: value
        for name, value in asdict(notification.facts).items()
        if value is not None and value != () and value is not False
    }
    return NotificationRow(
        key=notification.key,
        kind=notification.kind.value,
        severity=notification.severity.value,
        created_at=notification.created_at,
        payload=facts,
        incident_id=notification.incident_id,
        task=notification.task,
    )


def from_claimed(claimed: ClaimedNotification) -> Notification:
    """As it was owed; facts that this version does not know are left out.

    A kind that it does not know becomes OTHER: a row of a newer version must not hold up what is behind it.
    """
    row = claimed.row
    facts: dict[str, Any] = {name: value for name, value in row.payload.items() if name in _FACTS}
    facts["stopped_tasks"] = tuple(facts.get("stopped_tasks", ()))
    return Notification(
        key=row.key,
        kind=NotificationKind(row.kind) if row.kind in _KINDS else NotificationKind.OTHER,
        severity=Severity(row.severity),
        created_at=row.created_at,
        task=row.task,
        incident_id=row.incident_id,
        facts=Facts(**facts),
        possible_duplicate=claimed.unknown_outcomes > 0,
    )
