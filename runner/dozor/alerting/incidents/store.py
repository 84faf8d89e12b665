"""The open incidents in memory, and those resolved so recently that they may reopen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from loguru import logger

from dozor.alerting.model.incident import Incident, from_row
from dozor.alerting.model.notification import Notification
from dozor.config.values.incident_kinds import KINDS, IncidentKind
from dozor.language import msg
from dozor.storage.tables.incidents import IncidentRow

Key = tuple[str, str, str]


@dataclass(slots=True)
class IncidentChanges:
    """Incidents to be written and messages to be queued, in one transaction; the caller commits it."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)

    def add(self, other: IncidentChanges) -> None:
        """Together with `other`, which is newer."""
        self.incidents.update(other.incidents)
        self.notifications.extend(other.notifications)


class IncidentStore:
    """By cause, by id and by task; one incident for each cause. The journal writes them to the database."""

    def __init__(self, rows: Iterable[IncidentRow], last_id: int) -> None:
        self._last_id = last_id
        self._by_key: dict[Key, Incident] = {}
        self._by_id: dict[int, Incident] = {}
        self._by_task: dict[str, dict[Key, None]] = {}
        self._open: dict[int, None] = {}
        for row in rows:
            try:
                self.put(from_row(row))
            except ValueError as error:  # of a newer version
                logger.warning(msg("log-incident-left", id=row.id, error=error))

    @property
    def next_id(self) -> int:
        """For an incident about to be opened."""
        return self._last_id + 1

    def open(self) -> tuple[Incident, ...]:
        """Not resolved, oldest first."""
        return tuple(self._by_id[number] for number in self._open)

    def find(self, key: Key) -> Incident | None:
        """The incident of this cause, open or recently resolved; None: there is none."""
        return self._by_key.get(key)

    def by_id(self, incident_id: int) -> Incident | None:
        return self._by_id.get(incident_id)

    def is_open(self, incident_id: int | None) -> bool:
        """False as well for None and for an unknown id."""
        return incident_id in self._open

    def failures_of(self, task: str) -> list[Incident]:
        """Open incidents of the task's own failures, the worst first."""
        keys = self._by_task.get(task)
        if keys is None:
            return []
        found = [self._by_key[key] for key in keys]
        mine = [incident for incident in found if incident.is_open and KINDS[incident.kind].streak]
        if len(mine) > 1:
            mine.sort(key=lambda one: (one.kind is not IncidentKind.CRITICAL_STOP, one.id))
        return mine

    def members(self, storm: int) -> list[Incident]:
        """Members of a storm, oldest first; without those resolved so long ago that they were forgotten."""
        return [incident for incident in self._by_id.values() if incident.storm == storm]

    def put(self, incident: Incident) -> None:
        """Add the incident, or replace it by its present state."""
        self._last_id = max(self._last_id, incident.id)
        key = incident.key
        self._by_key[key] = incident
        self._by_id[incident.id] = incident
        if incident.task is not None:
            self._by_task.setdefault(incident.task, {})[key] = None
        if incident.is_open:
            self._open[incident.id] = None
        else:
            self._open.pop(incident.id, None)

    def keep(self, changes: IncidentChanges, incident: Incident) -> None:
        """Put it, and have it written with `changes`."""
        self.put(incident)
        changes.incidents[incident.id] = incident

    def forget(self, before: float) -> None:
        """Remove those resolved before `before` (seconds since the epoch): they do not reopen."""
        for incident in list(self._stale(before)):
            del self._by_id[incident.id]
            if self._by_key.get(incident.key) is incident:
                del self._by_key[incident.key]
                if incident.task is not None:
                    self._by_task[incident.task].pop(incident.key, None)

    def _stale(self, before: float) -> Iterator[Incident]:
        for incident in self._by_id.values():
            if incident.resolved_at is not None and incident.resolved_at < before:
                yield incident
