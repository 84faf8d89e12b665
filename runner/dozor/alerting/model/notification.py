"""What is owed to somebody: the data of a message, before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from dozor.config.incident_kinds import Severity

SEVERITY_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class NotificationKind(StrEnum):
    """Why somebody is told."""

    REPEATED_ERRORS = "repeated_errors"
    CRITICAL_STOP = "critical_stop"
    RECOVERED = "recovered"
    FLAPPING = "flapping"
    """It has come back for the third time: from now on it is only counted."""
    TROUBLE = "trouble"
    """Something that is not a failed run, see `Facts.trouble`."""
    STORM = "storm"
    """Many incidents as one digest."""
    PAST = "past"
    """It was broken and is well again: what could not be told while it lasted."""
    REMINDER = "reminder"
    ESCALATION = "escalation"
    """Nobody has reacted: the next people are told, by name."""
    SILENCE_OVER = "silence_over"
    """A silence has ended, and something under it is still broken."""
    MORNING = "morning"
    """What happened in the quiet hours."""
    ALL_CLEAR = "all_clear"
    """Once a day: everything is well, and so is the watch."""
    SUMMARY = "summary"
    """Telegram is back: what went through the second channel meanwhile."""
    CHECKER = "checker"
    """A checker's own `ctx.alert`."""
    RUNNER_STARTED = "runner_started"
    """A new start, and what it has found. After an unclean end the incident's own message says it."""
    RELOADED = "reloaded"
    """A changed configuration was applied."""
    RELOAD_REFUSED = "reload_refused"
    """A changed configuration has errors: the old one goes on."""
    DROPPED = "dropped"
    """The runner's memory overflowed while the database was away: what was dropped."""
    OTHER = "other"
    """Of a newer version, found in the outbox after a step back."""
    TEST = "test"
    """`dozor doctor --send`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
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
    """A checker's own words, or a count of what was dropped."""
    whole: str | None = None
    """All of it, for a file, where a message has no room for it. Only in messages owed, in no incident."""
    trouble: str | None = None
    """The kind of an incident that is not a failed run."""
    subject: str | None = None
    """Of what the trouble is: a dependency, a chat."""
    chain: tuple[str, ...] = ()
    """Where it hangs, or the stack that was seen most; the deepest frame last."""
    holders: tuple[tuple[str, str, float, bool], ...] = ()
    """Who holds the connections of a pool: the task, the run's id, since when, whether the run is over."""
    occurrences: int = 1
    """How often it has come."""
    acknowledged_by: str | None = None
    acknowledged_until: float | None = None
    """None in a reminder: the acknowledgement has run out."""
    calm_since: float | None = None
    """It flaps, and is quiet since."""
    silenced_until: float | None = None
    silenced: bool = False
    level: int | None = None
    """Of an escalation, from 1."""
    mention: str | None = None
    """Whom to call by name, in one line: "@ann, bob"."""
    called: tuple[tuple[str, int | None], ...] = ()
    """Each of them, with the Telegram id to mention them by where no "@name" does it."""
    in_storm: bool = False
    """Of an end: the end of its storm is what makes a sound."""
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
    """Seconds for which nobody was on watch."""
    starts: int = 0
    """How many there were lately, this one too."""
    paused_tasks: tuple[str, ...] = ()
    lost_tasks: tuple[str, ...] = ()
    """Their runs were cut off in the middle."""
    missed_runs: int = 0
    """Due while nobody was on watch."""
    missed_tasks: int = 0
    missed_more: bool = False
    """There were too many to be counted: at least so many."""
    open_before: int = 0
    """Incidents that were open already."""
    owed_before: int = 0
    """Messages that the runner before has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message owed. `key` is unique for ever: writing it twice leaves one."""

    key: str
    kind: NotificationKind
    severity: Severity
    created_at: float
    task: str | None = None
    incident_id: int | None = None
    facts: Facts = field(default_factory=Facts)
    destination: str = ""
    """Where to: "" is the chat of the configuration."""
    priority: int = 1
    """0 leaves first."""
    expires_at: float | None = None
    """Worth nothing after this."""
    possible_duplicate: bool = False
    """An earlier attempt ended in an unknown outcome: the text must say so."""


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
"""Kinds that say that something is wrong now; when it is over they are worth a line at most."""

REMINDER_WORTH = 3600.0

DAILY_WORTH = 6 * 3600.0
"""Seconds after which nobody needs such a message any more."""


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
    """When a message is worth nothing any more; seconds since the epoch."""
    match kind:
        case NotificationKind.REMINDER | NotificationKind.RUNNER_STARTED:
            return now + REMINDER_WORTH
        case NotificationKind.ALL_CLEAR | NotificationKind.MORNING:
            return now + DAILY_WORTH
        case _:
            return None
