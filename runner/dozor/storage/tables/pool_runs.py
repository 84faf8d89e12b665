"""Tables `dozor.pool_runs` and `dozor.pool_alerts`: runs that the leader gives to workers.

The leader inserts a run, consumes its end and is the only one to give up a run without heartbeats. A
worker claims a run (its token grows by one) and ends it by (id, token): what an overtaken worker reports
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from dozor.storage.postgres.pool import Connection, Pool, Row, encode_json

ENDED_CHANNEL = "dozor_pool_ended"
"""NOTIFY after runs have ended."""
QUEUED_CHANNEL = "dozor_pool_queued"
"""NOTIFY after runs have been queued."""


class PoolRunState(StrEnum):
    """States of a run in `dozor.pool_runs.state`."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"
    """Its worker sent no heartbeat for too long."""
    TAKEN = "taken"
    """The leader's state contains its end."""


class PoolRunOutcome(StrEnum):
    """How a worker ended a run."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """It raised, which an outage of the database explains."""
    CANCELLED = "cancelled"
    """Requested by the leader, or because the worker ends."""


class StopRequest(StrEnum):
    """What the leader requests of a run in progress."""

    ASK = "ask"
    """Set `ctx.stopping`."""
    CANCEL = "cancel"


class PoolOrder(NamedTuple):
    """A run to be queued. `due_at`: seconds since the epoch (UTC). `digest`: see `placement.digest_of`."""

    id: str
    task: str
    due_at: float
    pool: str
    epoch: int
    attempt: int
    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class PoolChanges:
    """What the leader writes with the states it belongs to. `taken`: ids of runs whose end is consumed."""

    orders: tuple[PoolOrder, ...] = ()
    taken: tuple[str, ...] = ()

    def __add__(self, later: PoolChanges) -> PoolChanges:
        return PoolChanges(self.orders + later.orders, self.taken + later.taken)


@dataclass(frozen=True, slots=True)
class PoolRunRow:
    """A run that is not taken, as a leader finds it. Times are seconds since the epoch (UTC)."""

    id: str
    task: str
    pool: str
    due_at: float
    queued_at: float
    attempt: int
    state: PoolRunState
    counted: bool
    """Whether the stored state of its task contains its start."""


class PoolEnd(NamedTuple):
    """How a run ended. `seconds`: from the claim to the end; `failure`: fields of a `Failure`."""

    id: str
    state: PoolRunState
    outcome: PoolRunOutcome | None
    failure: dict[str, Any] | None
    seconds: float | None
    claimed_by: str | None
    reports: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class PoolReport:
    """What a run in progress has reported."""

    id: str
    reports: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Runs of a pool in a state. `waited`: seconds since the oldest was queued, or the last one claimed."""

    pool: str
    state: PoolRunState
    count: int
    waited: float


class Claim(NamedTuple):
    """A run that this worker owns. `due_at`: seconds since the epoch (UTC)."""

    id: str
    token: int
    task: str
    due_at: float
    epoch: int
    attempt: int


class WorkerEnd(NamedTuple):
    """The end of a claimed run, as its worker reports it."""

    id: str
    token: int
    outcome: PoolRunOutcome
    failure: dict[str, Any] | None
    reports: dict[str, Any] | None


class Held(NamedTuple):
    """A claimed run, in a heartbeat. `reports`: None for what has not changed since the last one."""

    id: str
    token: int
    reports: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a heartbeat brings back of a run: it was taken away, or is to stop."""

    id: str
    taken_away: bool
    stop: StopRequest | None


# One statement: ends are consumed, then runs are queued, so a due time that ended can be queued anew. A row
# that a transaction of its run still holds (ctx.fence, left open) is left alone: see MARK_TAKEN_SQL.
WRITE_POOL_SQL = """
WITH over AS (
    SELECT id FROM dozor.pool_runs
    WHERE id = ANY($1::text[]) AND state IN ('ended', 'lost') FOR UPDATE SKIP LOCKED),
gone AS (
    DELETE FROM dozor.pool_runs r USING over WHERE r.id = over.id RETURNING r.id),
queued AS (
    INSERT INTO dozor.pool_runs (id, task, due_at, pool, epoch, attempt, number)
    SELECT n.id, n.task, to_timestamp(n.due_at), n.pool, n.epoch, n.attempt, n.number
    FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[], $6::int8[], $7::int4[], $8::int4[])
         AS n(id, task, due_at, pool, epoch, attempt, number)
    WHERE (SELECT count(*) FROM gone) >= 0
    ON CONFLICT DO NOTHING
    RETURNING id)
SELECT (SELECT count(*) FROM gone) AS gone, ARRAY(SELECT id FROM queued) AS queued,
       CASE WHEN EXISTS (SELECT FROM queued) THEN pg_notify('dozor_pool_queued', '')::text END AS woken
"""

# The row is deleted when the transaction that holds it has ended: see FORGET_SQL.
MARK_TAKEN_SQL = """
UPDATE dozor.pool_runs SET state = 'taken' WHERE id = ANY($1::text[]) AND state IN ('ended', 'lost')
"""

WAKE_WORKERS_SQL = "SELECT pg_notify('dozor_pool_queued', '')"

OPEN_SQL = """
SELECT r.id, r.task, r.pool, extract(epoch FROM r.due_at)::float8 AS due_at,
       extract(epoch FROM r.queued_at)::float8 AS queued_at, r.attempt, r.state,
       t.running_since IS NOT NULL AS counted
FROM dozor.pool_runs r LEFT JOIN dozor.tasks t ON t.name = r.task WHERE r.state <> 'taken'
"""

ADOPT_SQL = "UPDATE dozor.pool_runs SET epoch = $1 WHERE state <> 'taken' AND epoch <> $1"

# NOT IN a subquery is always a hash look-up; `<> ALL($2)` compares with each one once the plan is generic.
ENDS_SQL = """
SELECT id, state, outcome, failure, extract(epoch FROM ended_at - claimed_at)::float8 AS seconds,
       claimed_by, reports
FROM dozor.pool_runs WHERE state IN ('ended', 'lost') AND id NOT IN (SELECT unnest($2::text[])) LIMIT $1
"""

REPORTS_SQL = """
SELECT id, reports, extract(epoch FROM reported_at)::float8 AS at
FROM dozor.pool_runs WHERE state = 'running' AND reported_at > to_timestamp($1::float8) ORDER BY reported_at
"""

# Locked FOR UPDATE: a transaction of the run that holds it FOR KEY SHARE (ctx.fence) ends first.
GIVE_UP_SQL = """
WITH silent AS (
    SELECT id FROM dozor.pool_runs
    WHERE state = 'running' AND heartbeat_at < clock_timestamp() - make_interval(secs => $1)
    FOR UPDATE SKIP LOCKED)
UPDATE dozor.pool_runs r SET state = 'lost', ended_at = now() FROM silent WHERE r.id = silent.id
RETURNING r.id
"""

STOP_SQL = """
UPDATE dozor.pool_runs r
SET stop = CASE WHEN state = 'running' THEN n.stop ELSE r.stop END,
    outcome = CASE WHEN state = 'queued' THEN 'cancelled' END,
    ended_at = CASE WHEN state = 'queued' THEN now() END,
    state = CASE WHEN state = 'queued' THEN 'ended' ELSE state END
FROM unnest($1::text[], $2::text[]) AS n(id, stop)
WHERE r.id = n.id AND state IN ('queued', 'running')
"""

QUEUED_SQL = "SELECT id FROM dozor.pool_runs WHERE id = ANY($1::text[]) AND state = 'queued'"

MISSING_SQL = """
SELECT n.id FROM unnest($1::text[]) AS n(id)
WHERE NOT EXISTS (SELECT FROM dozor.pool_runs r WHERE r.id = n.id AND r.state <> 'taken')
"""

LOADS_SQL = """
SELECT pool, state, count(*) AS count,
       extract(epoch FROM clock_timestamp() - CASE WHEN state = 'queued' THEN min(queued_at)
                                                   ELSE max(claimed_at) END)::float8 AS waited
FROM dozor.pool_runs WHERE state IN ('queued', 'running') GROUP BY pool, state
"""

FORGET_SQL = """
DELETE FROM dozor.pool_runs WHERE id IN (
    SELECT id FROM dozor.pool_runs WHERE state = 'taken' LIMIT $1 FOR UPDATE SKIP LOCKED)
"""

ALERTS_SQL = "SELECT id, task, text, severity FROM dozor.pool_alerts WHERE id > $1 ORDER BY id LIMIT 1000"

FORGET_ALERTS_SQL = "DELETE FROM dozor.pool_alerts WHERE id <= $1"

CLAIM_SQL = """
UPDATE dozor.pool_runs r
SET state = 'running', token = token + 1, claimed_by = $2, claimed_at = now(),
    heartbeat_at = clock_timestamp()
WHERE id = ANY($1::text[]) AND state = 'queued'
RETURNING id, token, task, extract(epoch FROM due_at)::float8 AS due_at, epoch, attempt
"""

# The values of jsonb are sent as text: the connections of a worker have no codec for it.
BEAT_SQL = """
WITH held AS (
    SELECT * FROM unnest($1::text[], $2::int8[], $3::text[]) AS h(id, token, reports)),
beat AS (
    UPDATE dozor.pool_runs r
    SET heartbeat_at = clock_timestamp(),
        reports = coalesce(h.reports::jsonb, r.reports),
        reported_at = CASE WHEN h.reports IS NULL THEN r.reported_at ELSE clock_timestamp() END
    FROM held h WHERE r.id = h.id AND r.token = h.token AND r.state = 'running'
    RETURNING r.id, r.stop),
told AS (
    INSERT INTO dozor.pool_alerts (task, text, severity)
    SELECT * FROM unnest($4::text[], $5::text[], $6::text[]))
SELECT h.id, b.id IS NULL AS taken_away, b.stop
FROM held h LEFT JOIN beat b USING (id) WHERE b.id IS NULL OR b.stop IS NOT NULL
"""

END_SQL = """
WITH over AS (
    UPDATE dozor.pool_runs r
    SET state = 'ended', outcome = e.outcome, failure = e.failure::jsonb, ended_at = clock_timestamp(),
        reports = coalesce(e.reports::jsonb, r.reports)
    FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::text[])
         AS e(id, token, outcome, failure, reports)
    WHERE r.id = e.id AND r.token = e.token AND r.state = 'running'
    RETURNING r.id),
woken AS MATERIALIZED (SELECT pg_notify('dozor_pool_ended', '') WHERE EXISTS (SELECT FROM over))
SELECT id FROM over WHERE EXISTS (SELECT FROM woken)
"""


_STATES = {state.value: state for state in PoolRunState}
_OUTCOMES: dict[str | None, PoolRunOutcome | None] = {
    None: None,
    **{outcome.value: outcome for outcome in PoolRunOutcome},
}


async def write(connection: Connection, changes: PoolChanges) -> list[PoolOrder]:
    """Within the leader's transaction: consume ends, then queue. The orders that were not queued before."""
    rows = [
        (one.id, one.task, one.due_at, one.pool, one.epoch, one.attempt, one.number) for one in changes.orders
    ]
    columns = list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in range(7)]
    done = await connection.fetchrow(WRITE_POOL_SQL, list(changes.taken), *columns)
    if done["gone"] < len(changes.taken):
        await connection.execute(MARK_TAKEN_SQL, list(changes.taken))
    queued = set(done["queued"])
    return [one for one in changes.orders if one.id in queued]


async def distribute_nothing(connection: Connection, orders: Sequence[PoolOrder]) -> None:
    """Without a cluster."""


async def read_open(connection: Connection) -> list[PoolRunRow]:
    """The runs whose end is not consumed."""
    rows = await connection.fetch(OPEN_SQL)
    return [PoolRunRow(**{**dict(row), "state": PoolRunState(row["state"])}) for row in rows]


async def adopt(connection: Connection, epoch: int) -> None:
    """Make all of them runs of this leader."""
    await connection.execute(ADOPT_SQL, epoch)


async def read_ends(pool: Pool, limit: int, besides: Sequence[str] = ()) -> list[PoolEnd]:
    """Ends that are not consumed. `besides`: ids of those that are, in a transaction to come."""
    return [
        PoolEnd(identity, _STATES[state], _OUTCOMES[outcome], failure, seconds, claimed_by, reports)
        for identity, state, outcome, failure, seconds, claimed_by, reports in await pool.fetch(
            ENDS_SQL, limit, list(besides)
        )
    ]


async def read_reports(pool: Pool, since: float) -> list[PoolReport]:
    """What runs in progress have reported after `since` (seconds since the epoch, the database's clock)."""
    return [PoolReport(**dict(row)) for row in await pool.fetch(REPORTS_SQL, since)]


async def read_loads(pool: Pool) -> list[PoolLoad]:
    """Queued and running runs of each pool."""
    return [
        PoolLoad(row["pool"], PoolRunState(row["state"]), row["count"], row["waited"] or 0.0)
        for row in await pool.fetch(LOADS_SQL)
    ]


async def give_up(connection: Connection, silent_for: float) -> list[str]:
    """Runs whose worker has sent no heartbeat for so many seconds are lost from now on; their ids."""
    return [row["id"] for row in await connection.fetch(GIVE_UP_SQL, silent_for)]


async def stop(connection: Connection, requests: Iterable[tuple[str, StopRequest]]) -> None:
    """Take queued runs back, and have the workers of others asked."""
    ids, kinds = zip(*requests, strict=True)
    await connection.execute(STOP_SQL, list(ids), [kind.value for kind in kinds])


async def read_queued(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that no worker has claimed."""
    return [row["id"] for row in await pool.fetch(QUEUED_SQL, list(ids))]


async def read_missing(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that have no row any more, or one that is taken."""
    return [row["id"] for row in await pool.fetch(MISSING_SQL, list(ids))]


async def claim(connection: Connection, ids: Sequence[str], worker: str) -> list[Claim]:
    """Those of `ids` that were still queued; each is this worker's until it ends or is given up."""
    return [to_claim(row) for row in await connection.fetch(CLAIM_SQL, list(ids), worker)]


def to_claim(row: Row) -> Claim:
    """A row that CLAIM_SQL returns."""
    return Claim(*row)


async def beat(
    connection: Connection | Pool, held: Sequence[Held], alerts: Sequence[tuple[str, str, str]]
) -> list[Answer]:
    """One statement a second: heartbeats and reports of all runs of a worker, and its alerts (task, text,
    severity)."""
    rows = await connection.fetch(
        BEAT_SQL,
        [one.id for one in held],
        [one.token for one in held],
        [_json(one.reports) for one in held],
        [task for task, _, _ in alerts],
        [text for _, text, _ in alerts],
        [severity for _, _, severity in alerts],
    )
    return [
        Answer(row["id"], row["taken_away"], None if row["stop"] is None else StopRequest(row["stop"]))
        for row in rows
    ]


async def end(connection: Connection | Pool, ends: Sequence[WorkerEnd]) -> set[str]:
    """End claimed runs; the ids of those that were still this worker's."""
    rows = await connection.fetch(
        END_SQL,
        [one.id for one in ends],
        [one.token for one in ends],
        [one.outcome.value for one in ends],
        [_json(one.failure) for one in ends],
        [_json(one.reports) for one in ends],
    )
    return {row["id"] for row in rows}


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else encode_json(value)
