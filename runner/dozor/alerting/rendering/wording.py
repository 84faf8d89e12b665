"""What is still wrong with an incident, and how it ended, in one line: by its kind and state. Pure."""

from __future__ import annotations

from typing import assert_never

from dozor.alerting.model.notification import AlertData, EndCause, Notification, NotificationKind
from dozor.alerting.model.safe_text import clean, one_line, shorten
from dozor.alerting.rendering.phrases import NAME_UNITS, Phrasebook, incident_kind, limit_name, mark
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.supervision.core.state import State
from dozor.supervision.telemetry.observer import UNKNOWN_BLOCKER

TEXT_UNITS = 200
DEAF = "commands"
"""Subject of a bot incident: the bot receives no commands. Any other: it failed to answer."""


def kind_of(note: Notification) -> IncidentKind | None:
    """The kind of the message's incident; None: it is about none, or about one of a newer version."""
    facts = note.facts
    known = incident_kind(facts.about or facts.trouble)
    if known is not None or facts.about is not None:
        return known
    match note.kind:  # queued by an older version
        case NotificationKind.CRITICAL_STOP:
            return IncidentKind.CRITICAL_STOP
        case NotificationKind.CHECKER:
            return IncidentKind.CHECKER
        case NotificationKind.REPEATED_ERRORS | NotificationKind.RECOVERED | NotificationKind.PAST:
            return IncidentKind.REPEATED_ERRORS
        case NotificationKind.REMINDER | NotificationKind.ESCALATION if facts.error_type is not None:
            critical = note.severity is Severity.CRITICAL
            return IncidentKind.CRITICAL_STOP if critical else IncidentKind.REPEATED_ERRORS
        case _:
            return None


def is_stopped(note: Notification) -> bool:
    """The task is stopped by its errors, and nobody has restarted it."""
    state = note.facts.task_state
    if kind_of(note) is not IncidentKind.CRITICAL_STOP or note.facts.by is not None:
        return False
    return state in (None, State.STOPPED.value, State.BACKOFF.value)


def sign(note: Notification) -> str:
    """Of something that is wrong."""
    return "🛑" if kind_of(note) is IncidentKind.CRITICAL_STOP else mark(note.severity)


def still(say: Phrasebook, note: Notification) -> str:
    """What is still wrong, and for how long; without a sign."""
    facts, kind = note.facts, kind_of(note)
    began = note.created_at if facts.failing_since is None else facts.failing_since
    task = shorten(one_line(note.task or ""), NAME_UNITS)
    subject = _subject(say, facts, kind)
    return say(
        _still_key(note, kind),
        task=task or subject or "Dozor",
        subject=subject or task,
        duration=say.duration(say.now - began),
        since=say.clock(began),
        count=facts.count or 0,
        open=facts.failures or 0,
        oldest=say.duration(facts.lasted or 0.0),
        text=_first_line(facts),
    )


def _still_key(note: Notification, kind: IncidentKind | None) -> str:
    facts = note.facts
    match kind:
        case IncidentKind.CRITICAL_STOP | IncidentKind.REPEATED_ERRORS:
            return _streak_key(note, kind)
        case IncidentKind.HUNG:
            return "still-hung"
        case IncidentKind.OVERDUE:
            return "still-overdue"
        case IncidentKind.BLOCKED_LOOP:
            return "still-blocked-loop-unknown" if facts.subject == UNKNOWN_BLOCKER else "still-blocked-loop"
        case IncidentKind.DEPENDENCY:
            return "still-dependency"
        case IncidentKind.LIMIT:
            return "still-limit"
        case IncidentKind.POOL_EXHAUSTED:
            return "still-pool-exhausted"
        case IncidentKind.NO_WORKER:
            return "still-no-worker" if note.task is None else "still-no-worker-task"
        case IncidentKind.BACKLOG:
            known = facts.count is not None and facts.lasted is not None
            return "still-backlog" if known else "still-backlog-plain"
        case IncidentKind.UNCLEAN_END:
            return "still-unclean-end"
        case IncidentKind.BOT:
            return "still-bot-deaf" if facts.subject == DEAF else "still-bot-defect"
        case IncidentKind.TELEGRAM:
            return "still-telegram"
        case IncidentKind.REPLICA:
            return "still-replica"
        case IncidentKind.REPLICA_CONFIG:
            return "still-replica-config"
        case IncidentKind.REPLICA_CLOCK:
            return "still-replica-clock"
        case IncidentKind.LATE_RENEWAL:
            return "still-late-renewal"
        case IncidentKind.CHECKER:
            return "still-checker" if _first_line(facts) else "still-other"
        case IncidentKind.STORM:
            return "still-storm" if facts.failures is not None else "still-storm-plain"
        case None:
            return "still-other"
        case _:
            assert_never(kind)


def _streak_key(note: Notification, kind: IncidentKind) -> str:
    facts = note.facts
    if facts.task_state == State.HELD.value:
        return "still-held"
    if is_stopped(note) or facts.task_state == State.STOPPED.value:
        return "still-stopped"
    return "still-restarted" if kind is IncidentKind.CRITICAL_STOP else "still-failing"


def over(say: Phrasebook, note: Notification) -> str:
    """How it ended, with a sign."""
    facts, kind = note.facts, kind_of(note)
    task = shorten(one_line(note.task or ""), NAME_UNITS)
    subject = _subject(say, facts, kind)
    return say(_over_key(note, kind), task=task or subject or "Dozor", subject=subject or task or "Dozor")


def _over_key(note: Notification, kind: IncidentKind | None) -> str:
    facts = note.facts
    if facts.ended == EndCause.UNCONFIGURED:
        return "over-unconfigured"
    if facts.ended == EndCause.LAPSED:
        return "over-lapsed"
    if facts.ended == EndCause.STOPPED:
        return "over-hung-stopped"
    match kind:
        case IncidentKind.CRITICAL_STOP | IncidentKind.REPEATED_ERRORS:
            return "alert-recovered"
        case IncidentKind.HUNG:
            return "over-hung"
        case IncidentKind.OVERDUE:
            return "over-overdue"
        case IncidentKind.BLOCKED_LOOP:
            return "alert-over-blocked"
        case IncidentKind.DEPENDENCY:
            return "over-dependency"
        case IncidentKind.LIMIT:
            return "over-limit"
        case IncidentKind.POOL_EXHAUSTED:
            return "alert-over-pool"
        case IncidentKind.NO_WORKER:
            return "over-no-worker" if note.task is None else "over-no-worker-task"
        case IncidentKind.BACKLOG:
            return "over-backlog"
        case IncidentKind.UNCLEAN_END:
            return "start-steady"
        case IncidentKind.BOT:
            return "alert-over-bot"
        case IncidentKind.TELEGRAM:
            return "over-telegram"
        case IncidentKind.REPLICA:
            return "over-replica"
        case IncidentKind.REPLICA_CONFIG:
            return "over-replica-config"
        case IncidentKind.REPLICA_CLOCK:
            return "over-replica-clock"
        case IncidentKind.LATE_RENEWAL:
            return "over-late-renewal"
        case IncidentKind.STORM:
            return "alert-over-storm"
        case IncidentKind.CHECKER | None:
            return "over-closed"
        case _:
            assert_never(kind)


def is_streak(note: Notification) -> bool:
    """Whether it is about failures in a row of a task."""
    kind = kind_of(note)
    return kind is not None and KINDS[kind].streak


def _subject(say: Phrasebook, facts: AlertData, kind: IncidentKind | None) -> str:
    subject = shorten(one_line(facts.subject or ""), NAME_UNITS)
    return limit_name(say, subject) if kind is IncidentKind.LIMIT else subject


def _first_line(facts: AlertData) -> str:
    return shorten(clean(facts.text or "").partition("\n")[0], TEXT_UNITS)
