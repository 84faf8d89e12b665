"""Stage 4, group: when many incidents open at once, all after the first few are sent as one digest."""

from __future__ import annotations

from dozor.alerting.incidents.pipeline.stage import REPEATED, Candidate, Held
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import Admission, StormGate
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import NotifyReason
from dozor.alerting.model.notification import FIRING
from dozor.config.values.incident_kinds import KINDS, IncidentKind


class Group:
    """Holds the storm gate, and the storm that takes in members at present."""

    def __init__(self, store: IncidentStore) -> None:
        self._store = store
        self.gate = StormGate()
        self._storm: int | None = None
        for incident in store.open():
            if incident.kind is IncidentKind.STORM:
                self._storm = incident.id
                self.gate.resume(incident.opened_at, incident.updated_at)

    def __call__(self, candidate: Candidate) -> Candidate | Held:
        incident, kind = candidate.incident, candidate.kind
        if kind in REPEATED and incident.storm is not None:  # the storm has reminders of its own
            return Held(incident, candidate.decision(NotifyReason.GROUPED, ref=incident.storm))
        if kind not in FIRING:
            return candidate
        alone = replace(incident, told=True, storm=None, explained_by=None, silenced_by=None)
        if not KINDS[incident.kind].groupable:
            return replace(candidate, incident=alone)
        admission = self.gate.admit(incident.id, candidate.now)
        if admission is Admission.ALONE:
            return replace(candidate, incident=alone)
        storm = incident.storm if self._store.is_open(incident.storm) else self._storm
        absorbs = None
        if admission is Admission.BEGIN or storm is None or not self._store.is_open(storm):
            storm = self._storm = max(self._store.next_id, incident.id + 1)
            absorbs = self.gate.waiting
        member = replace(candidate.unsent, storm=storm, explained_by=None, silenced_by=None)
        return Held(member, candidate.decision(NotifyReason.GROUPED, ref=storm), absorbs)

    def storm_over(self, storm: int) -> None:
        """The next incident is not part of it."""
        if storm == self._storm:
            self.gate.end()
