"""Incidents: something is wrong, from its opening to its resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dozor.alerting.model.notification import NotificationKind
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.storage.tables.incidents import IncidentRow


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


NO_OVERRIDES: Mapping[IncidentKind, Severity] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Thresholds and severities of one task's incidents. Durations in seconds."""

    repeated_errors: int = 3
    """Failures in a row that raise the first alert."""
    remind_every: float = 1800.0
    """To the first reminder; each next one takes twice as long, up to eight times."""
    severities: Mapping[IncidentKind, Severity] = field(default_factory=lambda: NO_OVERRIDES)
    reopen_within: float = 600.0
    """A failure this soon after the incident was resolved reopens it."""
    flapping_after: int = 3
    """How often it may open before one message reports that it flaps; then it is only counted."""

    def severity(self, kind: IncidentKind) -> Severity:
        return self.severities.get(kind, KINDS[kind].severity)


DEFAULT_SETTINGS = AlertSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident(IncidentRow):
    """Something is wrong with `task`, or (None) with the runner: its row, with values that are checked."""

    kind: IncidentKind
    severity: Severity
    state: IncidentState
    notified_at: float

    @property
    def is_open(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    @property
    def quiet(self) -> bool:
        """No reminders: it is muted, inhibited, in a storm, or flapping without a failure for now."""
        return (
            self.silenced_by is not None
            or self.explained_by is not None
            or self.calm_since is not None
            or self.storm is not None
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """The same cause has the same key."""
        family = "failure" if KINDS[self.kind].streak else self.kind.value
        return self.task or "", family, self.fingerprint


_COLUMNS = tuple(field.name for field in fields(IncidentRow))


def from_row(row: IncidentRow) -> Incident:
    """Raises ValueError for a kind of a newer version."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    values.update(
        kind=IncidentKind(row.kind),
        severity=Severity(row.severity),
        state=IncidentState(row.state),
        notified_at=row.opened_at if row.notified_at is None else row.notified_at,
    )
    return Incident(**values)


def read(row: IncidentRow | None) -> Incident | None:
    """None as well for a row of a newer version: its messages are sent without it."""
    if row is None:
        return None
    try:
        return from_row(row)
    except ValueError:
        return None


def firing(incident: Incident) -> NotificationKind:
    """The kind of an incident's first message."""
    return NotificationKind(KINDS[incident.kind].announced_as)
