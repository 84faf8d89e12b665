"""Stage 3, mute: holds messages about incidents that an active silence covers."""

from __future__ import annotations

from collections.abc import Mapping

from dozor.alerting.incidents.pipeline.stage import REPEATED, Candidate, Held, newly_marked
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import NotifyReason
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import FIRING
from dozor.alerting.policy.silences import Silence, SilenceScope, covering


class Mute:
    """`silences`: those not ended, by id; whoever owns the mapping adds and removes them."""

    def __init__(self, silences: Mapping[int, Silence]) -> None:
        self._silences = silences

    def silence_of(self, incident: Incident, now: float) -> Silence | None:
        """The active silence that covers the incident. `now`: seconds since the epoch."""
        return covering(
            self._silences.values(), now, incident=incident.id, task=incident.task, kind=incident.kind
        )

    def __call__(self, candidate: Candidate) -> Candidate | Held:
        if candidate.kind in FIRING:
            silence = self.silence_of(candidate.unsent, candidate.now)
            return candidate if silence is None else self._held(candidate, silence.id)
        marked = candidate.incident.silenced_by
        if marked is None or not (candidate.kind in REPEATED or newly_marked(candidate)):
            return candidate
        return self._held(candidate, marked)

    def _held(self, candidate: Candidate, number: int) -> Held:
        decision = candidate.decision(NotifyReason.MUTED, ref=number)
        if (silence := self._silences.get(number)) is not None:
            decision = replace(
                decision, what=_scope(silence), by=silence.created_by or None, ends_at=silence.ends_at
            )
        return Held(replace(candidate.unsent, silenced_by=number), decision)


def _scope(silence: Silence) -> str:
    """As `AlertCommand` names it: "all", "kind:overdue", "#12", a task."""
    match silence.scope:
        case SilenceScope.ALL:
            return "all"
        case SilenceScope.KIND:
            return f"kind:{silence.target}"
        case SilenceScope.INCIDENT:
            return f"#{silence.target}"
        case SilenceScope.TASK:
            return silence.target
