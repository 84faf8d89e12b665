"""Who leads, stands by and works: the replicas of a cluster, from the table that they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dozor.clock import to_iso
from dozor.cluster.renewals import late_after
from dozor.cluster.replicas import ReplicaRole, ReplicaRow, read_replicas
from dozor.language import Translator
from dozor.language.times import duration
from dozor.storage.postgres.pool import Connection, Pool

if TYPE_CHECKING:
    from dozor.cluster.view import ClusterView

LEASE_SQL = """
SELECT epoch, expires_at > clock_timestamp() AS valid, extract(epoch FROM taken_at)::float8 AS since,
       ttl, extract(epoch FROM clock_timestamp() - renewed_at)::float8 AS age
FROM dozor.lease
"""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """`epoch`: of the one who leads or led last; `leading_since`: seconds since the epoch of the clock, None:
    nobody leads. `replicas`: all that have not said goodbye, lost ones included. `unrenewed_for`: seconds
    since the lease was renewed, if the next renewal is late by now.
    """

    epoch: int
    leading_since: float | None
    replicas: tuple[ReplicaRow, ...]
    unrenewed_for: float | None = None

    @property
    def leader(self) -> ReplicaRow | None:
        """The replica that leads, None while nobody does, or it has not written itself yet."""
        if self.leading_since is None:
            return None
        leads = (row for row in self.replicas if row.role is ReplicaRole.LEADER and row.epoch == self.epoch)
        return next(leads, None)

    @property
    def standbys(self) -> tuple[ReplicaRow, ...]:
        return self._present(ReplicaRole.STANDBY)

    @property
    def workers(self) -> tuple[ReplicaRow, ...]:
        """Those that only work, and those with work beside another role."""
        return tuple(
            row for row in self.replicas if not row.lost and (row.role is ReplicaRole.WORKER or row.slots > 0)
        )

    @property
    def lost(self) -> tuple[ReplicaRow, ...]:
        return tuple(row for row in self.replicas if row.lost and row != self.leader)

    def to_json(self) -> dict[str, Any]:
        """As `dozor replicas --json`."""
        leader = self.leader
        return {
            "leader": None if leader is None else leader.name,
            "epoch": self.epoch,
            "leading_since": to_iso(self.leading_since),
            "unrenewed_for_s": None if self.unrenewed_for is None else round(self.unrenewed_for, 3),
            "replicas": [
                {
                    "name": row.name,
                    "role": row.role.value,
                    "lost": row.lost,
                    "host": row.host,
                    "pid": row.pid,
                    "version": row.version,
                    "started_at": to_iso(row.started_at),
                    "role_since": to_iso(row.role_since),
                    "silent_for_s": round(row.silent_for, 3),
                    "clock_offset_s": round(row.clock_offset, 3),
                    "pools": list(row.pools),
                    "slots": row.slots,
                    "running": row.running,
                    "config_problem": row.config_problem,
                }
                for row in self.replicas
            ],
        }

    def _present(self, role: ReplicaRole) -> tuple[ReplicaRow, ...]:
        return tuple(row for row in self.replicas if row.role is role and not row.lost)


async def read_cluster(connection: Connection | Pool) -> ClusterReport | None:
    """None: no process of a cluster is there."""
    replicas = await read_replicas(connection)
    if not replicas:
        return None
    row = await connection.fetchrow(LEASE_SQL)
    assert row is not None
    if not row["valid"]:
        return ClusterReport(row["epoch"], None, tuple(replicas))
    late = row["age"] if row["age"] > late_after(row["ttl"]) else None
    return ClusterReport(row["epoch"], row["since"], tuple(replicas), late)


def known_cluster(view: ClusterView) -> ClusterReport | None:
    """What a member knows of its cluster without asking the database; None: nothing yet."""
    if not view.replicas:
        return None
    leaders = (row for row in view.replicas if row.role is ReplicaRole.LEADER and not row.lost)
    leader = max(leaders, key=lambda row: row.epoch or 0, default=None)
    if leader is None:
        return ClusterReport(view.epoch, None, view.replicas)
    epoch = leader.epoch or view.epoch
    return ClusterReport(epoch, leader.role_since, view.replicas, view.unrenewed_for)


def cluster_line(report: ClusterReport, translator: Translator, clock: Callable[[float], str]) -> str:
    """The cluster in one line: "Leader b (epoch 17) since 12:04 · standby a, c · workers w1 3/20".

    `clock`: seconds since the epoch as a time for people.
    """
    leader, say = report.leader, translator.format
    if leader is not None:
        since = clock(report.leading_since or leader.role_since)
        parts = [say("cluster-leader", name=leader.name, epoch=str(report.epoch), since=since)]
    elif report.leading_since is not None:
        parts = [say("cluster-leader-unnamed", epoch=str(report.epoch), since=clock(report.leading_since))]
    else:
        parts = [say("cluster-no-leader")]
    if report.unrenewed_for is not None:
        parts.append(say("cluster-unrenewed", time=duration(translator, report.unrenewed_for)))
    if report.standbys:
        parts.append(say("cluster-standby", names=_names(report.standbys)))
    workers = ", ".join(f"{row.name} {row.running}/{row.slots}" for row in report.workers)
    if workers:
        parts.append(say("cluster-workers", names=workers))
    invalid = [row for row in report.replicas if row.config_problem is not None and not row.lost]
    if invalid:
        parts.append(say("cluster-config-invalid", names=_names(invalid)))
    if report.lost:
        parts.append(say("cluster-lost", names=_names(report.lost)))
    return " · ".join(parts)


def _names(rows: Sequence[ReplicaRow]) -> str:
    return ", ".join(row.name for row in rows)
