"""Table `dozor.destinations`: what was learnt of where messages go, for the next start to know."""

from __future__ import annotations

from dataclasses import dataclass

from runner.storage.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """Times are seconds since the epoch (UTC). `chat_id`: as configured when this was learnt."""

    key: str
    chat_id: int
    moved_to: int | None = None
    held_until: float | None = None
    dead_since: float | None = None
    dead_reason: str | None = None
    topic_lost: bool = False


READ_DESTINATIONS_SQL = """
SELECT key, chat_id, moved_to, extract(epoch FROM held_until)::float8 AS held_until,
       extract(epoch FROM dead_since)::float8 AS dead_since, dead_reason, topic_lost
FROM dozor.destinations
"""

WRITE_DESTINATION_SQL = """
INSERT INTO dozor.destinations (key, chat_id, moved_to, held_until, dead_since, dead_reason, topic_lost)
VALUES ($1, $2, $3, to_timestamp($4), to_timestamp($5), $6, $7)
ON CONFLICT (key) DO UPDATE SET chat_id = excluded.chat_id, moved_to = excluded.moved_to,
    held_until = excluded.held_until, dead_since = excluded.dead_since, dead_reason = excluded.dead_reason,
    topic_lost = excluded.topic_lost
"""


async def read_all(pool: Pool) -> dict[str, DestinationRow]:
    """By key."""
    rows = await pool.fetch(READ_DESTINATIONS_SQL)
    return {row["key"]: DestinationRow(**dict(row)) for row in rows}


async def write(pool: Pool, row: DestinationRow) -> None:
    """Add or overwrite."""
    await pool.execute(
        WRITE_DESTINATION_SQL,
        row.key,
        row.chat_id,
        row.moved_to,
        row.held_until,
        row.dead_since,
        row.dead_reason,
        row.topic_lost,
    )
