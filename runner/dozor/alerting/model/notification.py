"""Notifications: the data of messages to destinations, before they are rendered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from dozor.config.values.incident_kinds import Severity

SEVERITY_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class NotificationKind(StrEnum):
    """What a message is about."""

    REPEATED_ERRORS = "repeated_errors"
    CRITICAL_STOP = "critical_stop"
    RECOVERED = "recovered"
    FLAPPING = "flapping"
    """It has reopened for the third time: from now on it is only counted."""
    TROUBLE = "trouble"
    """Something that is not a failed run, see `AlertData.trouble`."""
    STORM = "storm"
    """Many incidents as one digest."""
    PAST = "past"
    """It was broken and works again: its first message could not be sent meanwhile."""
    REMINDER = "reminder"
    ESCALATION = "escalation"
    """Nobody has acknowledged: people are called by name."""
    SILENCE_OVER = "silence_over"
    """A silence has ended, and something under it is still broken."""
    MORNING = "morning"
    """What happened in the quiet hours."""
    ALL_CLEAR = "all_clear"
    """Once a day: no incident is open, and the runner works."""
    SUMMARY = "summary"
    """Telegram is back: what went through the fallback channel meanwhile."""
    CHECKER = "checker"
    """A checker's own `ctx.alert`."""
    RUNNER_STARTED = "runner_started"
    """A new start, and what it has found. After an unclean end the incident's own message reports it."""
    RELOADED = "reloaded"
    """A changed configuration was applied."""
    RELOAD_REFUSED = "reload_refused"
    """A changed configuration has errors: the old one stays in use."""
    DROPPED = "dropped"
    """The runner's memory overflowed while the database was away: what was dropped."""
    OTHER = "other"
    """Of a newer version, found in the outbox after a step back."""
    TEST = "test"
    """`dozor doctor --send`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertData:
    """What a message may say. Times are seconds since the epoch (UTC); None where it does not apply."""

    failures: int | None = None
    max_failures: int | None = None
    error_type: str | None = None
    error_text: str | None = None
    """Redacted, at most 2,000 characters; the message cuts it further."""
    error_where: str | None = None
    """Deepest frame of the user's own code, "presales.py:41 in check_presales"."""
    window: str | None = None
    """Stopped by failures within a time, in a row or not: "6 / 5m"."""
    failing_since: float | None = None
    next_run_at: float | None = None
    """None after a critical stop: nothing happens until a person acts."""
    lasted: float | None = None
    """Seconds from the first failure to the recovery."""
    by: str | None = None
    """Who restarted it, if a person did."""
    text: str | None = None
    """Text of `ctx.alert`, reason of a trouble, or a count of what was dropped."""
    whole: str | None = None
    """The full text, for an attachment. Only in messages of the outbox, in no incident."""
    trouble: str | None = None
    """The kind of an incident that is not a failed run."""
    subject: str | None = None
    """What the trouble is about: a dependency, a chat."""
    chain: tuple[str, ...] = ()
    """Where it hangs, or the stack that was seen most; the deepest frame last."""
    holders: tuple[tuple[str, str, float, bool], ...] = ()
    """Who holds the connections of a pool: the task, the run's id, since when, whether the run is over."""
    occurrences: int = 1
    """How often the incident was opened."""
    acknowledged_by: str | None = None
    acknowledged_until: float | None = None
    """None in a reminder: the acknowledgement has run out."""
    calm_since: float | None = None
    """It flaps, and has not failed since."""
    silenced_until: float | None = None
    silenced: bool = False
    level: int | None = None
    """Of an escalation, from 1."""
    mention: str | None = None
    """People to call by name, in one line: "@ann, bob"."""
    called: tuple[tuple[str, int | None], ...] = ()
    """Each of them, with the Telegram id to mention them by where no "@name" does it."""
    about: str | None = None
    """The kind of the incident; None: of an older version, or about no incident."""
    task_state: str | None = None
    """Of the incident's task when the message was planned."""
    ended: str | None = None
    """Of an incident that was closed and is not known to be over: an `EndCause`."""
    next_call_at: float | None = None
    next_called: str | None = None
    """Of an escalation: whom the next level calls, and when. None: there is no next level."""
    retold: bool = False
    """Its destination is another chat, topic or bot than before: the open incident is sent there anew."""
    in_storm: bool = False
    """Of a recovery: the recovery of its storm makes the sound."""
    quiet: bool = False
    """Deliver without a sound: quiet hours."""
    lines: tuple[str, ...] = ()
    """Of a summary or digest, ready to be shown: "✅ presale_checker: …"."""
    count: int | None = None
    """What the lines are a part of."""
    stopped_tasks: tuple[str, ...] = ()
    unclean_end: bool = False
    off_since: float | None = None
    """Of a start, as all below: the end or last sign of life of the runner before. None: there was none."""
    off_for: float | None = None
    """Seconds without a runner."""
    starts: int = 0
    """How many there were lately, this one too."""
    paused_tasks: tuple[str, ...] = ()
    lost_tasks: tuple[str, ...] = ()
    """Their runs were cut off in the middle."""
    suspects: tuple[str, ...] = ()
    """In a run at each of the last unclean ends: started one at a time, and stopped if it happens again."""
    suspects_hold: float = 0.0
    """Seconds until the first of them starts."""
    missed_runs: int = 0
    """Due while there was no runner."""
    missed_tasks: int = 0
    missed_more: bool = False
    """There were too many to count: at least so many."""
    open_before: int = 0
    """Incidents that were open already."""
    owed_before: int = 0
    """Messages that the previous runner has not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message for one destination. `key` is never used twice: writing it again changes nothing."""

    key: str
    kind: NotificationKind
    severity: Severity
    created_at: float
    task: str | None = None
    incident_id: int | None = None
    facts: AlertData = field(default_factory=AlertData)
    destination: str = ""
    """Its key; "" is the chat of the configuration."""
    priority: int = 1
    """0 leaves first."""
    expires_at: float | None = None
    """Not sent after this time."""
    possible_duplicate: bool = False
    """An earlier attempt ended in an unknown outcome, which the text must mention."""


class EndCause(StrEnum):
    """Why an incident was closed, where nothing is known to work again."""

    UNCONFIGURED = "unconfigured"
    """Its task has left the configuration, or is disabled."""
    LAPSED = "lapsed"
    """A checker's own alert that was not repeated for an hour."""
    STOPPED = "stopped"
    """The run that hung has ended, and with it the task was stopped."""


FIRING = frozenset(
    {
        NotificationKind.REPEATED_ERRORS,
        NotificationKind.CRITICAL_STOP,
        NotificationKind.FLAPPING,
        NotificationKind.TROUBLE,
        NotificationKind.CHECKER,
        NotificationKind.STORM,
    }
)
"""Kinds about a present problem; when it is over, a summary in one line replaces them."""

REMINDER_WORTH = 3600.0

DAILY_WORTH = 6 * 3600.0
"""Seconds after which such a message is not sent any more."""


def priority(kind: NotificationKind, severity: Severity) -> int:
    """0 leaves first. A recovery never leaves before what it ends."""
    if kind in (NotificationKind.RECOVERED, NotificationKind.PAST):
        return 1
    if kind in (NotificationKind.ALL_CLEAR, NotificationKind.MORNING, NotificationKind.SUMMARY):
        return 3
    match severity:
        case Severity.CRITICAL:
            return 0
        case Severity.WARNING:
            return 1
        case Severity.INFO:
            return 3


def expires_at_for(kind: NotificationKind, now: float) -> float | None:
    """When a message of this kind expires; seconds since the epoch. None: never."""
    match kind:
        case NotificationKind.REMINDER | NotificationKind.RUNNER_STARTED:
            return now + REMINDER_WORTH
        case NotificationKind.ALL_CLEAR | NotificationKind.MORNING:
            return now + DAILY_WORTH
        case _:
            return None
