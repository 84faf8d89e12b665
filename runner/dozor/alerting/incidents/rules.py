"""Rules of incidents: how an event changes one, and which message it causes. Pure.

`(settings, incident, event) -> decision`; whether the message is sent, the notification pipeline decides.

         raised                    acknowledged              recovered
    ──────────────▶ open ───────────────────▶ acknowledged ─────────────▶ resolved
                     ▲ ▲                          │                          │
                     │ └──────── 8 h have passed ─┘                          │
                     └──────────────── again, soon after ────────────────┘

An incident that reopens for the third time flaps: one message reports it, then it is only counted, and it is
resolved when it has not failed for `reopen_within`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import NotificationKind
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.supervision.core.state import Failure, State, TaskState
from dozor.tracebacks import error_line

ACK_FOR = 8 * 3600.0
"""Seconds for which an acknowledgement holds."""
LONGEST_REMINDER = 8
"""Times `remind_every`."""
CHECKER_QUIET = 3600.0
"""Seconds after which the incident of `ctx.alert` is resolved if the checker does not repeat it."""
STEADY = 600.0
"""Seconds that a runner has to stay up before the incident of an unclean end is resolved."""


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is due by the clock since `at` (seconds since the epoch)."""

    at: float
    unsent: Incident
    """The incident if the message is held: the clock has changed nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident after an event (None: still none), and the message to consider (None: none).

    `because`: why there is no message where people might expect one. `due`: of a message that no change of
    the incident asks for. Whether the message is sent, the notification pipeline decides.
    """

    incident: Incident | None
    notify: NotificationKind | None = None
    because: Because | None = None
    due: Due | None = None


def on_failure(
    settings: AlertSettings,
    incident: Incident | None,
    before: TaskState,
    after: TaskState,
    now: float,
    new_id: int,
    task: str,
) -> Decision:
    """A run failed. `incident`: of this cause, open or just resolved. `new_id` is used if one is opened."""
    failure = after.failure_record.failure
    assert failure is not None
    stopped = after.state is State.STOPPED and before.state is not State.STOPPED
    reached = after.state is State.BACKOFF and after.failures >= settings.repeated_errors
    if incident is not None and incident.is_open and incident.calm_since is None:
        return _worse(settings, incident, after, failure, now, stopped=stopped)
    if not stopped and not reached:
        return Decision(incident)
    kind = IncidentKind.CRITICAL_STOP if stopped else IncidentKind.REPEATED_ERRORS
    notify = NotificationKind.CRITICAL_STOP if stopped else NotificationKind.REPEATED_ERRORS
    if incident is not None and may_reopen(settings, incident, now):
        again = _again(settings, incident, now)
        changed = replace(
            again,
            kind=kind,
            severity=settings.severity(kind),
            summary=summary(failure),
            failures=after.failures,
        )
        return Decision(changed, notify) if stopped else _notified_again(settings, changed, notify)
    opened = _open(settings, new_id, task, kind, fingerprint(failure), summary(failure), now)
    return Decision(replace(opened, failures=after.failures), notify)


def may_reopen(settings: AlertSettings, incident: Incident, now: float) -> bool:
    """It is open, or was resolved so recently that it reopens when the same problem returns."""
    return incident.resolved_at is None or now - incident.resolved_at <= settings.reopen_within


def _worse(
    settings: AlertSettings,
    incident: Incident,
    after: TaskState,
    failure: Failure,
    now: float,
    *,
    stopped: bool,
) -> Decision:
    worse = replace(incident, summary=summary(failure), failures=after.failures, updated_at=now)
    if not stopped:
        return Decision(worse, because=Because.OPEN)
    kind = IncidentKind.CRITICAL_STOP
    worse = _unacknowledged(replace(worse, kind=kind, severity=settings.severity(kind)), now)
    return Decision(replace(worse, notified_at=now, resolved_by=None), NotificationKind.CRITICAL_STOP)


def on_recovery(settings: AlertSettings, incident: Incident | None, now: float) -> Decision:
    """It has recovered; a flapping incident stays open for a time."""
    if incident is None or not incident.is_open:
        return Decision(incident)
    if incident.occurrences >= settings.flapping_after and incident.severity is not Severity.CRITICAL:
        if incident.calm_since is not None:
            return Decision(incident)
        return Decision(replace(incident, calm_since=now, updated_at=now), because=Because.CALMING)
    return resolve(incident, now)


def resolve(incident: Incident, now: float) -> Decision:
    """Resolve it."""
    resolved = replace(
        incident, state=IncidentState.RESOLVED, resolved_at=now, updated_at=now, failures=0, calm_since=None
    )
    if not incident.told:
        return Decision(resolved, because=Because.UNHEARD)
    return Decision(resolved, NotificationKind.RECOVERED)


def on_restart(incident: Incident | None, by: str, now: float) -> Decision:
    """A person restarted the task: it stays open until a run succeeds, and the recovery names that person."""
    if incident is None or not incident.is_open:
        return Decision(incident)
    return Decision(replace(incident, resolved_by=by, updated_at=now))


def on_trouble(
    settings: AlertSettings,
    incident: Incident | None,
    kind: IncidentKind,
    task: str | None,
    cause: str,
    summary: str,
    now: float,
    new_id: int,
    severity: Severity | None = None,
) -> Decision:
    """A problem that is not a failed run. `incident`: of this cause, open or just resolved."""
    level = settings.severity(kind) if severity is None else severity
    notify = NotificationKind.CHECKER if kind is IncidentKind.CHECKER else NotificationKind.TROUBLE
    if incident is None or not may_reopen(settings, incident, now):
        opened = _open(settings, new_id, task, kind, cause, summary, now)
        return Decision(replace(opened, severity=level, failures=1), notify)
    if incident.is_open and incident.calm_since is None:
        count = incident.failures + 1
        counted = replace(incident, summary=summary[:500], failures=count, updated_at=now)
        return Decision(counted, because=Because.OPEN)
    again = replace(_again(settings, incident, now), summary=summary[:500], severity=level, failures=1)
    return _notified_again(settings, again, notify)


def acknowledge(incident: Incident, by: str, now: float, seconds: float = ACK_FOR) -> Decision:
    """A person acknowledges it: reminders and escalation stop for `seconds`."""
    taken = replace(
        incident,
        state=IncidentState.ACKNOWLEDGED,
        acknowledged_at=now,
        acknowledged_by=by,
        ack_expires_at=now + seconds,
        updated_at=now,
    )
    return Decision(taken)


def unacknowledge(incident: Incident, now: float) -> Decision:
    """The acknowledgement is taken back: reminders and escalation begin anew."""
    return Decision(replace(_unacknowledged(incident, now), notified_at=now))


def on_tick(settings: AlertSettings, incident: Incident, now: float) -> Decision:
    """By the clock alone: an expired acknowledgement, the end of flapping, a reminder that is due."""
    if not incident.is_open:
        return Decision(incident)
    if incident.calm_since is not None and now >= incident.calm_since + settings.reopen_within:
        return resolve(incident, now)
    if incident.kind is IncidentKind.CHECKER and now >= incident.updated_at + CHECKER_QUIET:
        return Decision(resolve(incident, now).incident, because=Because.LAPSED)
    if incident.kind is IncidentKind.UNCLEAN_END and incident.calm_since is None:
        if now >= incident.updated_at + STEADY:
            return on_recovery(settings, incident, now)
        if incident.failures < 2:
            return Decision(incident)  # its message has left, and nothing has happened since
    acknowledged_until = incident.ack_expires_at if incident.state is IncidentState.ACKNOWLEDGED else None
    if acknowledged_until is not None and now >= acknowledged_until:
        return Decision(replace(_unacknowledged(incident, now), notified_at=now), NotificationKind.REMINDER)
    due_at = next_reminder(settings, incident)
    if incident.calm_since is not None or now < due_at:
        return Decision(incident)
    # `updated_at` stays: what the live message shows has not changed.
    reminded = replace(incident, notified_at=now, reminders=incident.reminders + 1)
    return Decision(reminded, NotificationKind.REMINDER, due=Due(due_at, incident))


def next_reminder(settings: AlertSettings, incident: Incident) -> float:
    """When the next reminder is due; seconds since the epoch."""
    times = min(2.0 ** min(incident.reminders, 10), LONGEST_REMINDER)
    return incident.notified_at + settings.remind_every * times


def fingerprint(failure: Failure) -> str:
    """The cause: the exception's type and where in the user's own code it came from."""
    return f"{failure.error_type} {failure.where}"


def summary(failure: Failure) -> str:
    return error_line(failure.error_type, failure.error_text)[:500]


def _open(
    settings: AlertSettings,
    new_id: int,
    task: str | None,
    kind: IncidentKind,
    cause: str,
    summary: str,
    now: float,
) -> Incident:
    return Incident(
        id=new_id,
        task=task,
        kind=kind,
        severity=settings.severity(kind),
        state=IncidentState.OPEN,
        fingerprint=cause,
        summary=summary[:500],
        failures=0,
        opened_at=now,
        updated_at=now,
        notified_at=now,
        level_since=now,
    )


def _again(settings: AlertSettings, incident: Incident, now: float) -> Incident:
    """It reopens."""
    back = replace(
        _unacknowledged(incident, now),
        occurrences=incident.occurrences + 1,
        resolved_at=None,
        resolved_by=None,
        calm_since=None,
        storm=None,
    )
    flapping = KINDS[incident.kind].reminded_while_flapping and back.occurrences > settings.flapping_after
    return back if flapping else replace(back, notified_at=now)


def _notified_again(settings: AlertSettings, incident: Incident, notify: NotificationKind) -> Decision:
    """The third time as flapping, later times without a message."""
    if incident.occurrences < settings.flapping_after:
        return Decision(incident, notify)
    if incident.occurrences == settings.flapping_after:
        return Decision(incident, NotificationKind.FLAPPING)
    return Decision(incident, because=Because.FLAPPING)


def _unacknowledged(incident: Incident, now: float) -> Incident:
    return replace(
        incident,
        state=IncidentState.OPEN,
        acknowledged_at=None,
        acknowledged_by=None,
        ack_expires_at=None,
        level_since=now,
        level=0,
        reminders=0,
        updated_at=now,
    )
