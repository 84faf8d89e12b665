"""What is owed to somebody: the data of a message, before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How loudly to speak."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class NotificationKind(StrEnum):
    """Why somebody is told."""

    REPEATED_ERRORS = "repeated_errors"
    CRITICAL_STOP = "critical_stop"
    RECOVERED = "recovered"
    REMINDER = "reminder"
    CHECKER = "checker"
    """A checker's own `ctx.alert`."""
    RUNNER_STARTED = "runner_started"
    """Only when there is something to say: stopped tasks, an unclean end before."""
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
    failing_since: float | None = None
    next_run_at: float | None = None
    """None after a critical stop: nothing happens until a person acts."""
    lasted: float | None = None
    """Seconds from the first failure to the recovery."""
    by: str | None = None
    """Who restarted it, if a person did."""
    text: str | None = None
    """A checker's own words, or a count of what was dropped."""
    stopped_tasks: tuple[str, ...] = ()
    unclean_end: bool = False


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
    possible_duplicate: bool = False
    """An earlier attempt ended in an unknown outcome: the text must say so."""
