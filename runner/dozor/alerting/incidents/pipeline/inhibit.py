"""Stage 2, inhibit: holds messages about tasks that wait for a dependency whose own incident is open."""

from __future__ import annotations

from collections.abc import Iterable

from dozor.alerting.incidents.pipeline.stage import REPEATED, Candidate, Held, newly_marked
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import NotifyReason
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import FIRING


class Inhibit:
    """Maps the incident of each dependency to the tasks whose incidents it explains."""

    def __init__(self, store: IncidentStore) -> None:
        self._store = store
        self._dependents: dict[int, frozenset[str]] = {}

    def explain(self, incident_id: int, tasks: Iterable[str]) -> None:
        """While this incident is open, it explains failures of `tasks`."""
        self._dependents[incident_id] = frozenset(tasks)

    def forget(self, incident_id: int) -> None:
        """It explains nothing any more."""
        self._dependents.pop(incident_id, None)

    def inhibitor_of(self, incident: Incident) -> int | None:
        """The id of the open dependency's incident that explains this one."""
        if incident.task is None:
            return None
        known = incident.explained_by
        if known is not None and known not in self._dependents and self._store.is_open(known):
            return known  # marked by the previous runner; its list of tasks was in memory
        for number, tasks in self._dependents.items():
            if incident.task in tasks and self._store.is_open(number):
                return number
        return None

    def released(self, incident: Incident) -> bool:
        """Its mark is out of date: the dependency is up again."""
        return incident.explained_by is not None and self.inhibitor_of(incident) is None

    def __call__(self, candidate: Candidate) -> Candidate | Held:
        if candidate.kind in FIRING:
            cause = self.inhibitor_of(candidate.unsent)
            return candidate if cause is None else self._held(candidate, cause)
        cause = candidate.incident.explained_by
        if cause is None or not (candidate.kind in REPEATED or newly_marked(candidate)):
            return candidate
        if candidate.incident.silenced_by is not None and not self._store.is_open(cause):
            return candidate  # the silence is what holds it by now
        return self._held(candidate, cause)

    def _held(self, candidate: Candidate, cause: int) -> Held:
        dependency = self._store.by_id(cause)
        decision = candidate.decision(NotifyReason.INHIBITED, ref=cause)
        if dependency is not None:
            decision = replace(decision, what=dependency.fingerprint)
        return Held(replace(candidate.unsent, explained_by=cause), decision)
