"""Table `dozor.incidents`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from dozor.storage.postgres.pool import Connection, Pool, Row, encode_json


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One incident: a row as written and read. Times are seconds since the epoch (UTC)."""

    id: int
    task: str | None
    kind: str
    severity: str
    state: str
    fingerprint: str
    summary: str
    failures: int
    opened_at: float
    updated_at: float
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    resolved_at: float | None = None
    resolved_by: str | None = None
    """Who restarted the task, if a person did; None: it recovered by itself."""
    notified_at: float | None = None
    """Of the last message that reminders count from."""
    occurrences: int = 1
    """How often it was opened: more than 1 if it was resolved and reopened soon after."""
    calm_since: float | None = None
    """Of a flapping incident: when it last recovered. It is resolved when it does not fail again."""
    ack_expires_at: float | None = None
    level_since: float | None = None
    """What escalation counts from; None: from `opened_at`."""
    reminders: int = 0
    level: int = 0
    """Escalation levels called since `level_since`."""
    explained_by: int | None = None
    """The dependency's incident that inhibits messages about this one."""
    silenced_by: int | None = None
    """The silence that mutes it."""
    storm: int | None = None
    """The storm's incident in whose digest this one is grouped."""
    told: bool = True
    """False: no message about it alone has been planned."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The data of its live message, as JSON."""
    decisions: list[dict[str, Any]] | None = None
    """Why messages were queued or not, oldest first, as JSON; None: nothing is known."""


@dataclass(frozen=True, slots=True)
class StormGroup:
    """Incidents of a storm with one cause. `tasks`: some of them, by name."""

    severity: str
    kind: str
    fingerprint: str
    summary: str
    count: int
    open: int
    tasks: tuple[str, ...]

    @property
    def rank(self) -> tuple[bool, bool, int, int, str]:
        """The worst first."""
        return self.open == 0, self.severity != "critical", -self.open, -self.count, self.fingerprint


_FIELDS = tuple(field.name for field in fields(IncidentRow))
_columns = attrgetter(*(name for name in _FIELDS if name != "decisions"))
_TIMES = tuple(name for name in _FIELDS if name.endswith(("_at", "_since")))

WRITE_INCIDENT_SQL = """
INSERT INTO dozor.incidents AS i (id, task, kind, severity, state, fingerprint, summary, failures, opened_at,
    updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at, occurrences,
    calm_since, ack_expires_at, level_since, reminders, level, explained_by, silenced_by, storm, told, facts,
    decisions)
SELECT n.id, n.task, n.kind, n.severity, n.state, n.fingerprint, n.summary, n.failures,
       to_timestamp(n.opened_at), to_timestamp(n.updated_at), to_timestamp(n.acknowledged_at),
       n.acknowledged_by, to_timestamp(n.resolved_at), n.resolved_by, to_timestamp(n.notified_at),
       n.occurrences, to_timestamp(n.calm_since), to_timestamp(n.ack_expires_at),
       to_timestamp(n.level_since), n.reminders, n.level, n.explained_by, n.silenced_by, n.storm, n.told,
       n.facts, n.decisions::jsonb
FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
            $9::float8[], $10::float8[], $11::float8[], $12::text[], $13::float8[], $14::text[],
            $15::float8[], $16::int[], $17::float8[], $18::float8[], $19::float8[], $20::int[], $21::int[],
            $22::int8[], $23::int8[], $24::int8[], $25::bool[], $26::jsonb[], $27::text[])
     AS n(id, task, kind, severity, state, fingerprint, summary, failures, opened_at, updated_at,
          acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at, occurrences, calm_since,
          ack_expires_at, level_since, reminders, level, explained_by, silenced_by, storm, told, facts,
          decisions)
ON CONFLICT (id) DO UPDATE SET
    kind = excluded.kind, severity = excluded.severity, state = excluded.state,
    summary = excluded.summary, failures = excluded.failures, updated_at = excluded.updated_at,
    acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
    resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by,
    notified_at = excluded.notified_at, occurrences = excluded.occurrences,
    calm_since = excluded.calm_since, ack_expires_at = excluded.ack_expires_at,
    level_since = excluded.level_since, reminders = excluded.reminders, level = excluded.level,
    explained_by = excluded.explained_by, silenced_by = excluded.silenced_by, storm = excluded.storm,
    told = excluded.told, facts = excluded.facts, decisions = coalesce(excluded.decisions, i.decisions)
"""

# The recently resolved ones too: what returns within a while reopens them.
OPEN_INCIDENTS_SQL = """
SELECT * FROM dozor.incidents
WHERE state <> 'resolved' OR resolved_at > now() - make_interval(secs => $1) ORDER BY id
"""
RECENT_INCIDENTS_SQL = "SELECT * FROM dozor.incidents ORDER BY id DESC LIMIT $1"
LAST_INCIDENT_ID_SQL = "SELECT coalesce(max(id), 0) FROM dozor.incidents"

STORM_GROUPS_SQL = """
SELECT max(severity) FILTER (WHERE severity = 'critical') IS NOT NULL AS critical, kind, fingerprint,
       (array_agg(summary ORDER BY id))[1] AS summary, count(*) AS count,
       count(*) FILTER (WHERE state <> 'resolved') AS open,
       (array_agg(task ORDER BY state = 'resolved', id))[1:$2] AS tasks
FROM dozor.incidents WHERE storm = $1
GROUP BY kind, fingerprint
"""

OPENED_BETWEEN_SQL = """
SELECT * FROM dozor.incidents WHERE opened_at >= to_timestamp($1) AND opened_at < to_timestamp($2)
ORDER BY id LIMIT 1000
"""

# Of an open storm its digest is enough.
OPEN_TOLD_SQL = """
SELECT i.* FROM dozor.incidents i
WHERE i.state <> 'resolved'
  AND (i.id = ANY($2::int8[]) OR EXISTS (
      SELECT 1 FROM dozor.notifications d
      WHERE d.incident_id = i.id AND d.destination = $1 AND d.state = 'delivered'
        AND d.transport IS DISTINCT FROM 'second channel' AND d.kind = ANY($3::text[])))
  AND NOT EXISTS (
      SELECT 1 FROM dozor.notifications w
      WHERE w.incident_id = i.id AND w.destination = $1 AND w.state IN ('pending', 'sending')
        AND w.kind = ANY($3::text[]) AND w.key NOT LIKE 'anew-%')
  AND NOT EXISTS (SELECT 1 FROM dozor.incidents s WHERE s.id = i.storm AND s.state <> 'resolved')
ORDER BY i.id
"""

# The newest stays, however old: ids go on from it.
PRUNE_INCIDENTS_SQL = """
DELETE FROM dozor.incidents WHERE id IN (
    SELECT id FROM dozor.incidents
    WHERE state = 'resolved' AND resolved_at < now() - make_interval(days => $1)
      AND id < (SELECT max(id) FROM dozor.incidents)
    LIMIT 10000)
"""


async def write(connection: Connection, rows: Sequence[IncidentRow]) -> None:
    """Add or overwrite."""
    columns = zip(*map(_columns, rows), strict=True)
    # As text: asyncpg would take an array of lists for an array of more dimensions.
    logs = [None if row.decisions is None else encode_json(row.decisions) for row in rows]
    await connection.execute(WRITE_INCIDENT_SQL, *columns, logs)


async def read_open(connection: Connection, *, resolved_within: float = 0.0) -> list[IncidentRow]:
    """Not yet resolved, and those resolved in the last `resolved_within` seconds, oldest first."""
    return [_incident(row) for row in await connection.fetch(OPEN_INCIDENTS_SQL, resolved_within)]


async def read_recent(connection: Connection, limit: int = 50) -> list[IncidentRow]:
    """The newest first."""
    return [_incident(row) for row in await connection.fetch(RECENT_INCIDENTS_SQL, limit)]


async def last_id(connection: Connection) -> int:
    """The highest id given so far, 0 if none."""
    found: int = await connection.fetchval(LAST_INCIDENT_ID_SQL)
    return found


async def read_storm(connection: Connection | Pool, storm: int, names: int = 3) -> list[StormGroup]:
    """A storm's incidents by cause, the worst first; `names` tasks of each."""
    groups = [
        StormGroup(
            severity="critical" if row["critical"] else "warning",
            kind=row["kind"],
            fingerprint=row["fingerprint"],
            summary=row["summary"],
            count=row["count"],
            open=row["open"],
            tasks=tuple(name for name in row["tasks"] if name),
        )
        for row in await connection.fetch(STORM_GROUPS_SQL, storm, names)
    ]
    return sorted(groups, key=lambda group: group.rank)


async def read_opened(connection: Connection | Pool, since: float, until: float) -> list[IncidentRow]:
    """Opened in [`since`, `until`), seconds since the epoch, oldest first, at most 1,000."""
    return [_incident(row) for row in await connection.fetch(OPENED_BETWEEN_SQL, since, until)]


async def read_open_told(
    connection: Connection | Pool, destination: str, shown: Sequence[int], firing: Sequence[str]
) -> list[IncidentRow]:
    """Open incidents that `destination` was notified of, oldest first.

    Not those about to be sent there for the first time.

    `shown`: incidents with a live message there. `firing`: kinds of messages about something wrong.
    """
    rows = await connection.fetch(OPEN_TOLD_SQL, destination, list(shown), list(firing))
    return [_incident(row) for row in rows]


async def prune(connection: Connection, days: int) -> None:
    """Delete up to 10,000 that were resolved more than `days` ago."""
    await connection.execute(PRUNE_INCIDENTS_SQL, days)


def from_json(values: dict[str, Any]) -> IncidentRow:
    """A row as PostgreSQL's `to_jsonb` writes it."""
    read = {name: values[name] for name in _FIELDS}
    for name in _TIMES:
        if read[name] is not None:
            read[name] = datetime.fromisoformat(read[name]).timestamp()
    return IncidentRow(**read)


def _incident(row: Row) -> IncidentRow:
    values: dict[str, Any] = {}
    for name in _FIELDS:
        value = row[name]
        values[name] = value.timestamp() if isinstance(value, datetime) else value
    return IncidentRow(**values)
