"""What the stages of the notification pipeline are given, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import Because, NotifyDecision, NotifyReason
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import NotificationKind
from dozor.supervision.core.state import State

REPEATED = frozenset({NotificationKind.REMINDER, NotificationKind.ESCALATION})
"""Kinds of messages about an incident that people have been notified of already.

The marks of the incident (`explained_by`, `silenced_by`, `storm`) hold them; firing messages set the marks.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change of an incident, and the message about it that is considered."""

    incident: Incident
    """As it is after the change."""
    previous: Incident | None
    """As it was; None: it is being opened."""
    kind: NotificationKind | None
    """None: the change needs no message."""
    because: Because | None = None
    """Why it needs none."""
    now: float
    """Seconds since the epoch (UTC)."""
    due: bool = False
    """Caused by time (a reminder, an escalation level), not by a change."""
    task: State | None = None
    """State of the incident's task, for what is due."""

    @property
    def unsent(self) -> Incident:
        """The incident if this message is held: a new one has not been notified about."""
        return replace(self.incident, told=self.incident.told and self.previous is not None)

    def decision(
        self, reason: NotifyReason, *, ref: int | None = None, because: Because | None = None
    ) -> NotifyDecision:
        """About this message. `ref`: the silence, incident or storm that decided it."""
        return NotifyDecision(at=self.now, reason=reason, because=because, kind=self.kind, ref=ref)


@dataclass(frozen=True, slots=True)
class Held:
    """No message by itself."""

    incident: Incident
    """With the mark of what holds the message."""
    decision: NotifyDecision | None
    """None: no decision to record."""
    absorbs: tuple[int, ...] | None = None
    """Of the first member of a new storm: incidents notified just now that the digest takes in."""


Stage = Callable[[Candidate], "Candidate | Held"]
"""Passes the message on, perhaps changed, or holds it."""


def newly_marked(candidate: Candidate) -> bool:
    """Muted or inhibited from now on, by a change that needs no message."""
    incident, before = candidate.incident, candidate.previous
    marks = incident.silenced_by, incident.explained_by
    known = (None, None) if before is None else (before.silenced_by, before.explained_by)
    return candidate.kind is None and incident.is_open and marks not in {(None, None), known}
