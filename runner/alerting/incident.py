"""Incidents and what people are told of them. Pure: `(settings, incident, what happened) -> decision`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from runner.alerting.notification import NotificationKind, Severity
from runner.supervision.state import Failure, State, TaskState


class IncidentKind(StrEnum):
    """What is wrong."""

    REPEATED_ERRORS = "repeated_errors"
    CRITICAL_STOP = "critical_stop"


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """`repeated_errors`: failures in a row that raise the first alert. `remind_every`: seconds."""

    repeated_errors: int = 3
    remind_every: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something is wrong with a task. Times are seconds since the epoch (UTC)."""

    id: int
    task: str
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
    """What reminders and escalation count from."""
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident as it is now (None: still none), and what to tell (None: nothing)."""

    incident: Incident | None
    tell: NotificationKind | None = None


def on_failure(
    settings: AlertSettings,
    incident: Incident | None,
    before: TaskState,
    after: TaskState,
    now: float,
    new_id: int,
    task: str,
) -> Decision:
    """A run failed: open an incident, make it worse, or only count. `new_id` is used if one is opened."""
    failure = after.past.failure
    assert failure is not None
    stopped = after.state is State.STOPPED and before.state is not State.STOPPED
    tell: NotificationKind | None = None
    kind, severity = IncidentKind.REPEATED_ERRORS, Severity.WARNING
    if stopped:
        tell, kind, severity = NotificationKind.CRITICAL_STOP, IncidentKind.CRITICAL_STOP, Severity.CRITICAL
    elif incident is None and after.state is State.BACKOFF and after.failures >= settings.repeated_errors:
        tell = NotificationKind.REPEATED_ERRORS
    if incident is None:
        if tell is None:
            return Decision(None)
        opened = Incident(
            id=new_id,
            task=task,
            kind=kind,
            severity=severity,
            state=IncidentState.OPEN,
            fingerprint=fingerprint(failure),
            summary=summary(failure),
            failures=after.failures,
            opened_at=now,
            updated_at=now,
            notified_at=now,
        )
        return Decision(opened, tell)
    worse = replace(incident, summary=summary(failure), failures=after.failures, updated_at=now)
    if stopped:
        worse = replace(
            worse, kind=kind, severity=severity, state=IncidentState.OPEN, notified_at=now, resolved_by=None
        )
    return Decision(worse, tell)


def on_recovery(incident: Incident | None, now: float) -> Decision:
    """A run succeeded."""
    if incident is None:
        return Decision(None)
    resolved = replace(incident, state=IncidentState.RESOLVED, resolved_at=now, updated_at=now, failures=0)
    return Decision(resolved, NotificationKind.RECOVERED)


def on_restart(incident: Incident | None, by: str, now: float) -> Decision:
    """A person restarted the task: the incident stays open until a run succeeds, and will say who it was."""
    if incident is None:
        return Decision(None)
    return Decision(replace(incident, resolved_by=by, updated_at=now))


def reminder(settings: AlertSettings, incident: Incident, task: TaskState, now: float) -> Decision | None:
    """Remind of an incident nobody has reacted to; None if it is not yet time, or a person has acted."""
    if incident.state is not IncidentState.OPEN or now < incident.notified_at + settings.remind_every:
        return None
    if task.state is State.PAUSED:
        return None
    return Decision(replace(incident, notified_at=now, updated_at=now), NotificationKind.REMINDER)


def fingerprint(failure: Failure) -> str:
    """The cause: the exception's type and where in the user's own code it came from."""
    return f"{failure.error_type} {failure.where}"


def summary(failure: Failure) -> str:
    return f"{failure.error_type}: {failure.error_text}"[:500]
