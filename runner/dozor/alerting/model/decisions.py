"""Why a message about an incident was sent, edited, held back or not sent: one entry for each decision.

Decisions made before the outbox (muted, inhibited, grouped, only counted, queued) are kept in the incident's
row, `dozor.incidents.decisions`, and written with it. Decisions of delivery (sent, edited, refused, expired)
are kept in the message's row, `dozor.notifications.decisions`, and appended by the statement that settles it.
Both are JSON arrays of entries as `to_json` makes them, bounded by `record` and `dozor.with_decision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

Entry = dict[str, Any]
"""A decision as JSON: only what applies."""

KEPT_FIRST, KEPT = 5, 40
"""Entries of a log that are never dropped, and how many there are at most."""

TEXT_UNITS = 300
"""Characters kept of the answer of the other side."""


class NotifyReason(StrEnum):
    """What was decided about a message."""

    # Before the outbox.
    QUEUED = "queued"
    """Written to the outbox."""
    QUIET_HOURS = "quiet_hours"
    """Written to the outbox, to be delivered without a sound."""
    MUTED = "muted"
    """By silence `ref`."""
    INHIBITED = "inhibited"
    """By incident `ref`: something that the task requires is down."""
    GROUPED = "grouped"
    """Into the digest of storm `ref`."""
    COUNTED = "counted"
    """No message, only a count in the incident; see `Because`."""
    ACKNOWLEDGED = "acknowledged"
    """A reminder was due, and `by` has acknowledged the incident until `ends_at`."""
    PAUSED = "paused"
    """A reminder was due, and a person has paused the task."""
    # Delivery.
    SENT = "sent"
    EDITED = "edited"
    """The message that the chat shows already was changed instead."""
    SUPERSEDED = "superseded"
    """Not sent: it is no longer true, or a newer message replaces it; see `Because`."""
    EXPIRED = "expired"
    PUT_OFF = "put_off"
    """Not delivered, to be tried again."""
    UNKNOWN = "unknown"
    """No answer: it may have arrived, and is tried again marked as a possible duplicate."""
    REFUSED = "refused"
    """By the chat; shown on the console, to be tried again."""
    GIVEN_UP = "given_up"
    """Refused while other messages got through: shown on the console, not tried again."""
    FALLBACK = "fallback"
    """Sent through the fallback channel."""
    WAITING = "waiting"
    """Not settled yet. Never stored."""
    OTHER = "other"
    """Of a newer version. Never stored."""


class Because(StrEnum):
    """Why, where the reason alone does not show it."""

    THRESHOLD = "threshold"
    """Fewer failures in a row than `repeated_errors`."""
    OPEN = "open"
    """The incident is open already; its message shows the count."""
    FLAPPING = "flapping"
    """It has come back too often to be sent each time."""
    CALMING = "calming"
    """It flaps: it is resolved when it has not failed for a time."""
    UNHEARD = "unheard"
    """An end, and no message has said that it was broken."""
    SAME_END = "same_end"
    """The message about another incident of the task says that it works again."""
    UNCONFIGURED = "unconfigured"
    """Its task has left the configuration."""
    LAPSED = "lapsed"
    """A checker's own alert that was not repeated for an hour."""
    STOPPED = "stopped"
    """The run that hung has ended by the critical stop of its task, whose message says so."""
    OVER = "over"
    """It was over before the message left."""
    BROKEN_AGAIN = "broken_again"
    """It was broken again before the message about its end left."""
    TAKEN = "taken"
    """It was acknowledged or over before the reminder left."""
    SAID = "said"
    """Another message to the same chat replaces it."""
    DIRECT = "direct"
    """Sent straight from memory while the database was away."""
    TOLD_TO_WAIT = "told_to_wait"
    MOVED = "moved"
    """The group has become another chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDecision:
    """One decision. Times are seconds since the epoch (UTC)."""

    at: float
    reason: NotifyReason
    because: Because | None = None
    kind: str | None = None
    """Of the message, as `NotificationKind`; None: no particular one."""
    ref: int | None = None
    """The silence, incident or storm that decided it."""
    what: str | None = None
    """Of a silence: its scope, "all", "kind:overdue", "#12" or a task. Of an inhibition: what is down."""
    by: str | None = None
    """Who made the silence or acknowledged the incident, "telegram:111"."""
    ends_at: float | None = None
    """When the silence or acknowledgement was to end."""
    to: tuple[str, ...] = ()
    """Destinations; "" is the chat of the configuration."""
    transport: str | None = None
    text: str | None = None
    """The answer of the other side."""
    times: int = 1
    """How often the same was decided, from `at` to `last_at`."""
    last_at: float | None = None
    skipped: int = 0
    """Older decisions before this one that are not kept."""


_DEFAULTS = {field.name: field.default for field in fields(NotifyDecision)}
_values = attrgetter(*_DEFAULTS)
_ALWAYS_NEW = frozenset({NotifyReason.QUEUED.value, NotifyReason.QUIET_HOURS.value})
_STORED = frozenset(NotifyReason) - {NotifyReason.WAITING, NotifyReason.OTHER}
_BECAUSE = frozenset(Because)
_FIXED = tuple(name for name in _DEFAULTS if name not in ("at", "times", "last_at", "skipped"))
"""What two entries of the same decision have in common."""


def to_json(decision: NotifyDecision) -> Entry:
    """Only what applies."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for (name, default), value in zip(_DEFAULTS.items(), _values(decision), strict=True)
        if value is not default and value != default
    }


def from_json(entry: Mapping[str, Any]) -> NotifyDecision:
    """Never raises for an entry of a newer version: what is unknown is left out."""
    values = {name: value for name, value in entry.items() if name in _DEFAULTS}
    reason, because = values.get("reason"), values.get("because")
    values["reason"] = NotifyReason(reason) if reason in _STORED else NotifyReason.OTHER
    values["because"] = Because(because) if because in _BECAUSE else None
    values["to"] = tuple(values.get("to", ()))
    return NotifyDecision(**values)


def delivery_entry(
    at: float,
    reason: NotifyReason,
    because: Because | None = None,
    *,
    ref: int | None = None,
    transport: str | None = None,
    text: str | None = None,
) -> Entry:
    """What delivery decided about one message at `at`; its kind and destination are in the message's row."""
    said = None if text is None else text[:TEXT_UNITS]
    decision = NotifyDecision(at=at, reason=reason, because=because, ref=ref, transport=transport, text=said)
    return to_json(decision)


def record(log: Sequence[Entry] | None, decision: NotifyDecision) -> list[Entry]:
    """`log` with the decision appended, as `dozor.with_decision` does in SQL.

    The same as the last entry is counted in it; but each message written to the outbox has an entry.
    """
    entries, entry = list(log or ()), to_json(decision)
    last = entries[-1] if entries else None
    if last is not None and _same(last, entry):
        times = last.get("times", 1) + entry.get("times", 1)
        entries[-1] = {**last, "times": times, "last_at": entry.get("last_at", entry["at"])}
        return entries
    if len(entries) >= KEPT:
        dropped, after = entries[KEPT_FIRST], entries[KEPT_FIRST + 1]
        skipped = dropped.get("skipped", 0) + dropped.get("times", 1)
        entries[KEPT_FIRST : KEPT_FIRST + 2] = [{**after, "skipped": skipped}]
    return [*entries, entry]


def was_decided(log: Iterable[Entry] | None, decision: NotifyDecision, since: float) -> bool:
    """Whether the log has the same decision about a message of this kind, made at `since` or later."""
    wanted = decision.reason, decision.kind, decision.ref
    return any(
        (one.get("reason"), one.get("kind"), one.get("ref")) == wanted
        and (one.get("last_at") or one["at"]) >= since
        for one in log or ()
    )


def _same(last: Entry, entry: Entry) -> bool:
    if entry["reason"] in _ALWAYS_NEW:
        return False
    known, new = last.get, entry.get
    return all(known(name) == new(name) for name in _FIXED)
