"""Stage 1, dedup: holds what was reported already, and the end of what was never reported."""

from __future__ import annotations

from dozor.alerting.incidents.pipeline.stage import Candidate, Held
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import Because, NotifyReason
from dozor.alerting.model.notification import FIRING, NotificationKind

_ENDS = frozenset(
    {
        Because.CALMING,
        Because.UNHEARD,
        Because.SAME_END,
        Because.UNCONFIGURED,
        Because.LAPSED,
        Because.STOPPED,
    }
)
"""Why there is no message about an end."""


def dedup(candidate: Candidate) -> Candidate | Held:
    """Only counted: what changes without news for people. Pure."""
    incident, kind, because = candidate.incident, candidate.kind, candidate.because
    if kind is None and _reopened_unnotified(candidate):
        kind = NotificationKind.FLAPPING
    if kind in FIRING:
        return replace(candidate, kind=kind, because=None)
    notified = candidate.previous is not None and candidate.previous.told
    if kind is NotificationKind.RECOVERED and not notified:
        kind, because = None, Because.UNHEARD
    if kind is not None or because is None:
        return candidate
    ended = replace(candidate, kind=NotificationKind.RECOVERED if because in _ENDS else None)
    if because is Because.UNHEARD and incident.storm is not None:  # its digest shows that it is over
        return Held(incident, ended.decision(NotifyReason.GROUPED, ref=incident.storm))
    return Held(incident, ended.decision(NotifyReason.COUNTED, because=because))


def _reopened_unnotified(candidate: Candidate) -> bool:
    """It comes back too often for another message, but its first message was held."""
    previous, incident = candidate.previous, candidate.incident
    reopened = previous is not None and not previous.is_open and incident.is_open
    return reopened and (incident.quiet or not incident.told)
