"""Table `dozor.replicas`: every process of a cluster, as it last wrote itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from dozor.storage.postgres.pool import Connection, Pool

if TYPE_CHECKING:
    from dozor.cluster.lease import Holder

SILENT_BEATS = 3
"""A replica that has missed so many beats counts as lost."""

INVALID = "invalid: "
"""How `config_digest` begins for a replica whose file was refused; what is wrong with it follows."""
PROBLEM_LENGTH = 500

# $5, its own wall clock, is compared with the database's at once: the difference holds the way there as well.
BEAT_SQL = """
INSERT INTO dozor.replicas AS r (id, name, role, epoch, host, pid, version, started_at, role_since, seen_at,
                                 beats_every, config_digest, clock_offset, pools, slots, running)
VALUES ($1, $2, $3, $4, $6, $7, $8, clock_timestamp(), clock_timestamp(), clock_timestamp(), $9, $10,
        $5 - extract(epoch FROM clock_timestamp())::float8, $11, $12, $13)
ON CONFLICT (id) DO UPDATE
SET role = excluded.role, epoch = excluded.epoch, seen_at = excluded.seen_at,
    role_since = CASE WHEN r.role = excluded.role AND r.epoch IS NOT DISTINCT FROM excluded.epoch
                      THEN r.role_since ELSE excluded.role_since END,
    beats_every = excluded.beats_every, config_digest = excluded.config_digest,
    clock_offset = excluded.clock_offset, pools = excluded.pools, slots = excluded.slots,
    running = excluded.running
"""

GONE_SQL = "DELETE FROM dozor.replicas WHERE id = $1"

# Kept for an hour, so that people see which ones are missing.
FORGET_REPLICAS_SQL = "DELETE FROM dozor.replicas WHERE seen_at < now() - interval '1 hour'"

# The process of a leader that was lost is reported as an unclean end.
FORGET_LEADERS_SQL = "DELETE FROM dozor.replicas WHERE role = 'leader' AND epoch < $1"

READ_REPLICAS_SQL = """
SELECT id, name, role, epoch, host, pid, version, extract(epoch FROM started_at)::float8 AS started_at,
       extract(epoch FROM role_since)::float8 AS role_since,
       extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent_for,
       beats_every, config_digest, clock_offset, pools, slots, running
FROM dozor.replicas ORDER BY started_at, id
"""


def refused_digest(problems: Sequence[str]) -> str:
    """In place of the digest of a configuration whose file was refused: equal to none."""
    return INVALID + "\n".join(problems)[:PROBLEM_LENGTH]


class ReplicaRole(StrEnum):
    """What a process of a cluster does at present."""

    LEADER = "leader"
    STANDBY = "standby"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a replica writes about itself. `beats_every`: seconds; `epoch`: of a leader.

    `config_digest`: as `config_digest` or `refused_digest` give it.
    """

    role: ReplicaRole
    epoch: int | None
    beats_every: float
    config_digest: str
    pools: tuple[str, ...] = ()
    slots: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRow:
    """A replica as the others see it. Times: seconds since the epoch, by the database's clock.

    `silent_for`: seconds since its last beat. `clock_offset`: seconds by which its wall clock is ahead.
    """

    id: UUID
    name: str
    role: ReplicaRole
    epoch: int | None
    host: str
    pid: int
    version: str
    started_at: float
    role_since: float
    silent_for: float
    beats_every: float
    config_digest: str
    clock_offset: float
    pools: tuple[str, ...]
    slots: int
    running: int

    @property
    def config_problem(self) -> str | None:
        """Why its configuration file was refused; None: it was not."""
        return self.config_digest.removeprefix(INVALID) if self.config_digest.startswith(INVALID) else None

    @property
    def lost(self) -> bool:
        """Without a heartbeat for so long that it has ended, or cannot reach the database."""
        return self.silent_for > SILENT_BEATS * self.beats_every


async def beat(connection: Connection | Pool, who: Holder, what: Beat, wall: float) -> None:
    """Write that `who` is there. `wall`: its wall clock, seconds since the epoch."""
    process = who.process
    await connection.execute(
        BEAT_SQL,
        who.id,
        who.name,
        what.role.value,
        what.epoch,
        wall,
        process.host,
        process.pid,
        who.version,
        what.beats_every,
        what.config_digest,
        list(what.pools),
        what.slots,
        what.running,
    )


async def gone(connection: Connection | Pool, replica: UUID) -> None:
    """It has ended, or its end is dealt with."""
    await connection.execute(GONE_SQL, replica)


async def forget(connection: Connection | Pool, epoch: int) -> None:
    """Remove rows of replicas that were lost long ago, and of leaders before `epoch`."""
    await connection.execute(FORGET_REPLICAS_SQL)
    await connection.execute(FORGET_LEADERS_SQL, epoch)


async def read_replicas(connection: Connection | Pool) -> list[ReplicaRow]:
    """All that have not signed off, the oldest first; some may be lost."""
    rows = await connection.fetch(READ_REPLICAS_SQL)
    return [
        ReplicaRow(**{**dict(row), "role": ReplicaRole(row["role"]), "pools": tuple(row["pools"])})
        for row in rows
    ]
