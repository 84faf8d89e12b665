"""Incidents about replicas of the cluster: lost, misconfigured, with a clock that is off, renewing late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Set

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import AlertData
from dozor.app.surroundings import config_digest
from dozor.cluster.renewals import WINDOW
from dozor.cluster.replicas import ReplicaRole, ReplicaRow
from dozor.cluster.view import ClusterView
from dozor.config import Config
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language import msg
from dozor.process.threads import in_own_thread

LOOK_EVERY = 1.0
CLOCK_OFF = 2.0
"""Seconds by which a wall clock may differ from the database's."""
LATE_RENEWALS = 3
"""Renewals that came late in the last minutes: fewer are no incident."""
LEASE = "lease"
"""Subject of the incident about late renewals: a next leader ends that of the one before."""
HOLDS: Mapping[IncidentKind, float] = {
    IncidentKind.REPLICA: 0.0,
    IncidentKind.REPLICA_CONFIG: 60.0,
    IncidentKind.REPLICA_CLOCK: 10.0,
    IncidentKind.LATE_RENEWAL: 0.0,
}
"""Seconds for which a condition must last: neither a rolling restart nor a slow beat is an incident."""


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


def differing_configurations(rows: tuple[ReplicaRow, ...], used: Set[str]) -> dict[str, str]:
    """What to report, by name of the replica. Pure.

    `used`: digests of the configurations that the leader has used, the first and those of reloads. A replica
    that started before or after a reload has one of them. What the leader's file holds by now counts as well:
    sections that need a new start differ from it until then. A file that was refused is always reported.
    """
    used = used | {row.config_digest for row in rows if row.role is ReplicaRole.LEADER and not row.lost}
    return {
        row.name: msg("log-replica-config", name=row.name)
        if row.config_problem is None
        else msg("log-replica-config-invalid", name=row.name, problem=row.config_problem)
        for row in rows
        if not row.lost
        and row.role is not ReplicaRole.LEADER
        and (row.config_problem is not None or row.config_digest not in used)
    }


def clocks_off(rows: tuple[ReplicaRow, ...]) -> dict[str, str]:
    """What to report, by name of the replica, the leader included. Pure."""
    return {
        row.name: msg("log-replica-clock", name=row.name, seconds=f"{row.clock_offset:+.1f}")
        for row in rows
        if not row.lost and abs(row.clock_offset) >= CLOCK_OFF
    }


def late_renewals(view: ClusterView, now: float, *, reported: bool) -> dict[str, str]:
    """What to report of the leader, which this process is, under `LEASE`. `now`: of its trust window.

    From `LATE_RENEWALS` in the last minutes; once it is `reported`, until there is none.
    """
    window = view.window
    if window is None:
        return {}
    late = window.renewals.late(now)
    if late.count < (1 if reported else LATE_RENEWALS):
        return {}
    leads = (row.name for row in view.replicas if row.role is ReplicaRole.LEADER and row.epoch == view.epoch)
    return {
        LEASE: msg(
            "log-late-renewals",
            name=next(leads, ""),
            count=late.count,
            minutes=f"{WINDOW / 60:.0f}",
            longest=f"{late.longest:.1f}",
            every=f"{window.ttl / 3:.1f}",
        )
    }


class UsedConfigurations:
    """Digests of the configurations that the leader has used since it began to lead.

    A digest takes 40 ms with 2,000 tasks and 250 ms with 10,000: those of reloads are computed in a thread.
    """

    def __init__(self, first: str) -> None:
        self.digests = {first}
        self._new: list[Config] = []

    def use(self, config: Config) -> None:
        """The leader has reloaded; the digest is there after the next `catch_up`."""
        self._new.append(config)

    async def catch_up(self) -> None:
        """Compute the digests that are missing, in a thread."""
        while self._new:
            self.digests.add(await in_own_thread(config_digest, self._new[0]))
            del self._new[0]


class ReplicaMonitor:
    """A service of the leading part. `now`: seconds, monotonic."""

    def __init__(
        self,
        manager: IncidentManager,
        view: ClusterView,
        used: UsedConfigurations,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._view = view
        self._used = used
        self._now = now
        self._since: dict[tuple[IncidentKind, str], float] = {}

    async def run(self) -> None:
        while True:
            await self._used.catch_up()
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Open and close incidents."""
        rows = self._view.replicas
        if not rows:
            return  # not read yet
        self._report(IncidentKind.REPLICA, lost_replicas(rows))
        self._report(IncidentKind.REPLICA_CONFIG, differing_configurations(rows, self._used.digests))
        self._report(IncidentKind.REPLICA_CLOCK, clocks_off(rows))
        window = self._view.window
        if window is not None:
            reported = any(i.kind is IncidentKind.LATE_RENEWAL for i in self._manager.open_incidents)
            late = late_renewals(self._view, window.now(), reported=reported)
            self._report(IncidentKind.LATE_RENEWAL, late)

    def _report(self, kind: IncidentKind, found: Mapping[str, str]) -> None:
        now = self._now()
        reported = {i.fingerprint for i in self._manager.open_incidents if i.kind is kind}
        for name, text in found.items():
            since = self._since.setdefault((kind, name), now)
            if name not in reported and now - since >= HOLDS[kind]:
                self._manager.open_incident(kind, name, AlertData(text=text))
        for key in [key for key in self._since if key[0] is kind and key[1] not in found]:
            del self._since[key]
        for name in reported - found.keys():
            self._manager.resolve_incident(kind, name)
