"""What one decision changes: incidents to be written and messages to be queued, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import Notification


@dataclass(slots=True)
class IncidentChanges:
    """A unit of work; the caller commits it."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)

    def add(self, other: IncidentChanges) -> None:
        """Together with `other`, which is newer."""
        self.incidents.update(other.incidents)
        self.notifications.extend(other.notifications)
