"""An incident: something is wrong, from the moment it is told to the moment it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dozor.alerting.model.notification import NotificationKind
from dozor.config.incident_kinds import KINDS, IncidentKind, Severity
from dozor.storage.tables.incidents import IncidentRow


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


NO_OVERRIDES: Mapping[IncidentKind, Severity] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """When and how loudly people are told of one task. Durations in seconds."""

    repeated_errors: int = 3
    """Failures in a row that raise the first alert."""
    remind_every: float = 1800.0
    """To the first reminder; each next one takes twice as long, up to eight times."""
    severities: Mapping[IncidentKind, Severity] = field(default_factory=lambda: NO_OVERRIDES)
    reopen_within: float = 600.0
    """What comes back this soon after it was resolved is the same incident."""
    flapping_after: int = 3
    """How often it may come before it is told as flapping, once, and then only counted."""

    def severity(self, kind: IncidentKind) -> Severity:
        return self.severities.get(kind, KINDS[kind].severity)


DEFAULT_SETTINGS = AlertSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something is wrong with `task`, or (None) with the runner. Times are seconds since the epoch (UTC)."""

    id: int
    task: str | None
    kind: IncidentKind
    severity: Severity
    state: IncidentState
    fingerprint: str
    summary: str
    failures: int
    opened_at: float
    updated_at: float
    notified_at: float
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    resolved_at: float | None = None
    resolved_by: str | None = None
    """Who restarted the task, if a person did; None: it recovered by itself."""
    occurrences: int = 1
    """How often it has come: more than 1 if it was resolved and came back within a while."""
    calm_since: float | None = None
    """Flapping, and quiet since: it is resolved when it stays so."""
    ack_expires_at: float | None = None
    level_since: float | None = None
    """What escalation counts from; None: from when it was opened."""
    reminders: int = 0
    level: int = 0
    """Escalation levels told since `level_since`."""
    explained_by: int | None = None
    """The dependency's incident that swallows this one."""
    silenced_by: int | None = None
    storm: int | None = None
    """The storm's incident in whose digest this one stands."""
    told: bool = True
    """False: nobody has been told of it by itself."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What its living message says, as `Facts` in the outbox."""
    decisions: list[dict[str, Any]] | None = None
    """Why messages about it were queued or not, oldest first: entries of `alerting.model.decisions`."""

    @property
    def is_open(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    @property
    def quiet(self) -> bool:
        """Nobody is to be reminded of it: it is silenced, explained, part of a storm, or calm for now."""
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


_SHARED = tuple(field.name for field in fields(IncidentRow))


def to_row(incident: Incident) -> IncidentRow:
    return IncidentRow(**{name: getattr(incident, name) for name in _SHARED})


def from_row(row: IncidentRow) -> Incident:
    """Raises ValueError for a kind that this version does not know."""
    values = {name: getattr(row, name) for name in _SHARED}
    values.update(
        kind=IncidentKind(row.kind),
        severity=Severity(row.severity),
        state=IncidentState(row.state),
        notified_at=row.opened_at if row.notified_at is None else row.notified_at,
    )
    return Incident(**values)


def read(row: IncidentRow | None) -> Incident | None:
    """None as well for a row of a newer version: what is sent need not know its incident."""
    if row is None:
        return None
    try:
        return from_row(row)
    except ValueError:
        return None


def firing(incident: Incident) -> NotificationKind:
    """How an incident is told for the first time."""
    return NotificationKind(KINDS[incident.kind].announced_as)
