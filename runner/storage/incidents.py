"""Table `dozor.incidents`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from runner.storage.pool import Connection, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """A snapshot of one incident. Times are seconds since the epoch (UTC)."""

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
    notified_at: float | None = None


_FIELDS = tuple(field.name for field in fields(IncidentRow))

WRITE_INCIDENT_SQL = """
INSERT INTO dozor.incidents AS i (id, task, kind, severity, state, fingerprint, summary, failures, opened_at,
    updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at)
SELECT n.id, n.task, n.kind, n.severity, n.state, n.fingerprint, n.summary, n.failures,
       to_timestamp(n.opened_at), to_timestamp(n.updated_at), to_timestamp(n.acknowledged_at),
       n.acknowledged_by, to_timestamp(n.resolved_at), n.resolved_by, to_timestamp(n.notified_at)
FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
            $9::float8[], $10::float8[], $11::float8[], $12::text[], $13::float8[], $14::text[],
            $15::float8[])
     AS n(id, task, kind, severity, state, fingerprint, summary, failures, opened_at, updated_at,
          acknowledged_at, acknowledged_by, resolved_at, resolved_by, notified_at)
ON CONFLICT (id) DO UPDATE SET
    kind = excluded.kind, severity = excluded.severity, state = excluded.state,
    summary = excluded.summary, failures = excluded.failures, updated_at = excluded.updated_at,
    acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
    resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by,
    notified_at = excluded.notified_at
"""

OPEN_INCIDENTS_SQL = "SELECT * FROM dozor.incidents WHERE state <> 'resolved' ORDER BY id"
RECENT_INCIDENTS_SQL = "SELECT * FROM dozor.incidents ORDER BY id DESC LIMIT $1"
LAST_INCIDENT_ID_SQL = "SELECT coalesce(max(id), 0) FROM dozor.incidents"


async def write(connection: Connection, rows: Sequence[IncidentRow]) -> None:
    """Add or overwrite."""
    columns = list(zip(*(tuple(getattr(row, name) for name in _FIELDS) for row in rows), strict=True))
    await connection.execute(WRITE_INCIDENT_SQL, *columns)


async def read_open(connection: Connection) -> list[IncidentRow]:
    """Not yet resolved, oldest first."""
    return [_incident(row) for row in await connection.fetch(OPEN_INCIDENTS_SQL)]


async def read_recent(connection: Connection, limit: int = 50) -> list[IncidentRow]:
    """The newest first."""
    return [_incident(row) for row in await connection.fetch(RECENT_INCIDENTS_SQL, limit)]


async def last_id(connection: Connection) -> int:
    """The highest id given so far, 0 if none."""
    found: int = await connection.fetchval(LAST_INCIDENT_ID_SQL)
    return found


def _incident(row: Row) -> IncidentRow:
    values: dict[str, Any] = {}
    for name in _FIELDS:
        value = row[name]
        values[name] = value.timestamp() if isinstance(value, datetime) else value
    return IncidentRow(**values)
