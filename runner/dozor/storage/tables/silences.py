"""Tables `dozor.silences` and `dozor.oncall_overrides`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dozor.storage.postgres.pool import Connection, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceRow:
    """Times are seconds since the epoch (UTC). `ends_at` None: until its incident is resolved."""

    id: int
    scope: str
    target: str
    reason: str
    created_by: str
    created_at: float
    ends_at: float | None
    ended_at: float | None = None
    ended_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """`person` is on call instead of whose shift it is. Times are seconds since the epoch (UTC)."""

    id: int
    person: str
    starts_at: float
    ends_at: float
    created_by: str = ""
    created_at: float = 0.0


WRITE_SILENCE_SQL = """
INSERT INTO dozor.silences (id, scope, target, reason, created_by, created_at, ends_at, ended_at, ended_by)
VALUES ($1, $2, $3, $4, $5, to_timestamp($6), to_timestamp($7), to_timestamp($8), $9)
ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, ended_at = excluded.ended_at,
    ended_by = excluded.ended_by
"""

ACTIVE_SILENCES_SQL = """
SELECT id, scope, target, reason, created_by, extract(epoch FROM created_at)::float8 AS created_at,
       extract(epoch FROM ends_at)::float8 AS ends_at, extract(epoch FROM ended_at)::float8 AS ended_at,
       ended_by
FROM dozor.silences WHERE ended_at IS NULL ORDER BY id
"""

LAST_SILENCE_ID_SQL = "SELECT coalesce(max(id), 0) FROM dozor.silences"

WRITE_OVERRIDE_SQL = """
INSERT INTO dozor.oncall_overrides (id, person, starts_at, ends_at, created_by, created_at)
VALUES ($1, $2, to_timestamp($3), to_timestamp($4), $5, to_timestamp($6))
ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at
"""

OVERRIDES_SQL = """
SELECT id, person, extract(epoch FROM starts_at)::float8 AS starts_at,
       extract(epoch FROM ends_at)::float8 AS ends_at, created_by,
       extract(epoch FROM created_at)::float8 AS created_at
FROM dozor.oncall_overrides WHERE ends_at > now() - interval '1 day' ORDER BY id
"""

LAST_OVERRIDE_ID_SQL = "SELECT coalesce(max(id), 0) FROM dozor.oncall_overrides"


async def write(connection: Connection, rows: Sequence[SilenceRow]) -> None:
    """Add or overwrite."""
    await connection.executemany(
        WRITE_SILENCE_SQL,
        [
            (r.id, r.scope, r.target, r.reason, r.created_by, r.created_at, r.ends_at, r.ended_at, r.ended_by)
            for r in rows
        ],
    )


async def read_active(connection: Connection | Pool) -> list[SilenceRow]:
    """Those that nobody and nothing has ended yet, oldest first."""
    return [SilenceRow(**dict(row)) for row in await connection.fetch(ACTIVE_SILENCES_SQL)]


async def last_silence_id(connection: Connection) -> int:
    """0 if there was none."""
    found: int = await connection.fetchval(LAST_SILENCE_ID_SQL)
    return found


async def write_overrides(connection: Connection, rows: Sequence[OverrideRow]) -> None:
    """Add or overwrite."""
    await connection.executemany(
        WRITE_OVERRIDE_SQL,
        [(r.id, r.person, r.starts_at, r.ends_at, r.created_by, r.created_at) for r in rows],
    )


async def read_overrides(connection: Connection | Pool) -> list[OverrideRow]:
    """Those not over for more than a day, oldest first."""
    return [OverrideRow(**dict(row)) for row in await connection.fetch(OVERRIDES_SQL)]


async def last_override_id(connection: Connection) -> int:
    """0 if there was none."""
    found: int = await connection.fetchval(LAST_OVERRIDE_ID_SQL)
    return found
