"""The lease of a cluster: one row that says who leads, in which epoch, and until when.

Every function is one statement on the given connection, so that it works through a pgbouncer that pools
transactions, and a client that dies leaves nothing behind. Times are the database's clock; `ttl` is seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.fence import SUPERSEDED, Term, fenced, superseded
from dozor.storage.postgres.pool import Connection, Pool

__all__ = [
    "CHANNEL",
    "SUPERSEDED",
    "Holder",
    "LeaseRow",
    "Term",
    "fenced",
    "read",
    "renew",
    "resign",
    "superseded",
    "take",
]

CHANNEL = "dozor_lease"
"""NOTIFY on it says that the lease was resigned."""

READ_SQL = """
SELECT epoch, holder, renewals, ttl, name, host, boot_id, pid_namespace, pid, process_start,
       expires_at <= clock_timestamp() AS expired, expires_at = '-infinity' AS resigned,
       extract(epoch FROM clock_timestamp() - renewed_at)::float8 AS age,
       extract(epoch FROM taken_at)::float8 AS since
FROM dozor.lease
"""

# A take-over must not wait: one that waits can outlive its client. Each CTE runs once; `free` holds the lock.
# The row in dozor.runners counts as one that led from its first write on: until then both times are equal.
TAKE_SQL = """
WITH free AS (
    SELECT epoch FROM dozor.lease
    WHERE expires_at <= clock_timestamp() OR (epoch = $10 AND renewals = $11)
    FOR UPDATE SKIP LOCKED
), watch AS (
    INSERT INTO dozor.runners (host, pid, version, started_at, seen_at)
    SELECT $5, $8, $4, now(), now() FROM free
    RETURNING id
)
UPDATE dozor.lease AS l
SET epoch = watch.id, holder = $1, renewals = 0, ttl = $2, taken_at = clock_timestamp(),
    renewed_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $2),
    name = $3, host = $5, boot_id = $6, pid_namespace = $7, pid = $8, process_start = $9
FROM free, watch
WHERE l.epoch = free.epoch
RETURNING l.epoch
"""

RENEW_SQL = """
UPDATE dozor.lease
SET renewals = renewals + 1, ttl = $3, renewed_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE epoch = $1 AND holder = $2 AND expires_at > '-infinity'
RETURNING epoch
"""

RESIGN_SQL = """
WITH resigned AS (
    UPDATE dozor.lease SET expires_at = '-infinity', renewals = renewals + 1
    WHERE epoch = $1 AND holder = $2
    RETURNING epoch
)
SELECT pg_notify('dozor_lease', epoch::text) FROM resigned
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that takes the lease. `name`: of the replica, for people; `version`: of the program."""

    id: UUID
    name: str
    version: str
    process: ProcessIdentity


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease as it is in the database. `epoch` 0: nobody has ever led.

    `age`: seconds since the last renewal; `since`: when it was taken, seconds since the epoch of the clock.
    """

    term: Term
    renewals: int
    ttl: float
    name: str
    process: ProcessIdentity
    expired: bool
    resigned: bool
    age: float
    since: float


async def read(connection: Connection | Pool) -> LeaseRow:
    """Who leads, or led last."""
    row = await connection.fetchrow(READ_SQL)
    return LeaseRow(
        term=Term(row["epoch"], row["holder"]),
        renewals=row["renewals"],
        ttl=row["ttl"],
        name=row["name"],
        process=ProcessIdentity(
            host=row["host"],
            boot_id=row["boot_id"],
            pid_namespace=row["pid_namespace"],
            pid=row["pid"],
            started=row["process_start"],
        ),
        expired=row["expired"],
        resigned=row["resigned"],
        age=row["age"],
        since=row["since"],
    )


async def take(
    connection: Connection, holder: Holder, ttl: float, *, lapsed: LeaseRow | None = None
) -> Term | None:
    """Lead, if the lease has expired by the database's clock; None if it has not, or its row is locked.

    `lapsed`: the lease as read earlier, known to be given up although it has not expired: it is taken if it
    has not been renewed since.
    """
    process = holder.process
    epoch: int | None = await connection.fetchval(
        TAKE_SQL,
        holder.id,
        ttl,
        holder.name,
        holder.version,
        process.host,
        process.boot_id,
        process.pid_namespace,
        process.pid,
        process.started,
        None if lapsed is None else lapsed.term.epoch,
        None if lapsed is None else lapsed.renewals,
    )
    return None if epoch is None else Term(epoch, holder.id)


async def renew(connection: Connection, term: Term, ttl: float) -> bool:
    """Lead for `ttl` seconds from now on; False if another has taken it, or it was resigned."""
    return await connection.fetchval(RENEW_SQL, term.epoch, term.holder, ttl) is not None


async def resign(connection: Connection, term: Term) -> None:
    """Let others lead at once, and notify those who listen on `CHANNEL`. Nothing if `term` is over."""
    await connection.execute(RESIGN_SQL, term.epoch, term.holder)
