"""The leader's look at the other replicas of the cluster: an incident for each one that is lost."""

from __future__ import annotations

import asyncio

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import AlertData
from dozor.cluster.replicas import ReplicaRole, ReplicaRow
from dozor.cluster.view import ClusterView
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language import msg

LOOK_EVERY = 1.0


def lost_replicas(rows: tuple[ReplicaRow, ...]) -> dict[str, str]:
    """What to report, by name of the replica. Pure.

    A leader that was lost is reported by the incident of its unclean end. A replica that came back, on the
    same host and in the same role, is not lost.
    """
    present = {(row.host, row.role): row.started_at for row in rows if not row.lost}
    found = {}
    for row in rows:
        returned_at = present.get((row.host, row.role))
        returned = returned_at is not None and returned_at > row.started_at
        if row.lost and row.role is not ReplicaRole.LEADER and not returned:
            key = "log-replica-lost-worker" if row.role is ReplicaRole.WORKER else "log-replica-lost-standby"
            found[row.name] = msg(key, name=row.name, running=row.running, seconds=f"{row.silent_for:.0f}")
    return found


class ReplicaMonitor:
    """A service of the leading part."""

    def __init__(self, manager: IncidentManager, view: ClusterView) -> None:
        self._manager = manager
        self._view = view

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Open and close incidents."""
        lost = lost_replicas(self._view.replicas)
        told = {i.fingerprint for i in self._manager.open_incidents if i.kind is IncidentKind.REPLICA}
        for name, text in lost.items():
            if name not in told:
                self._manager.open_incident(IncidentKind.REPLICA, name, AlertData(text=text))
        for name in told - lost.keys():
            self._manager.resolve_incident(IncidentKind.REPLICA, name)
