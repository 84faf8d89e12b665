"""Table `dozor.destinations`: the known state of destinations, for the next start."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.storage.postgres.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """Times are seconds since the epoch (UTC). `chat_id`: as configured when this was learnt."""

    key: str
    chat_id: int
    moved_to: int | None = None
    held_until: float | None = None
    dead_since: float | None = None
    dead_reason: str | None = None
    thread_id: int | None = None
    """The topic; 0: the chat itself; None: not known."""
    bot_id: int | None = None
    """Who sends there; None: not known."""


READ_DESTINATIONS_SQL = """
SELECT key, chat_id, moved_to, extract(epoch FROM held_until)::float8 AS held_until,
       extract(epoch FROM dead_since)::float8 AS dead_since, dead_reason, thread_id,
       bot_id
FROM dozor.destinations
"""

WRITE_DESTINATION_SQL = """
INSERT INTO dozor.destinations (key, chat_id, moved_to, held_until, dead_since, dead_reason, thread_id,
    bot_id)
VALUES ($1, $2, $3, to_timestamp($4), to_timestamp($5), $6, $7, $8)
ON CONFLICT (key) DO UPDATE SET chat_id = excluded.chat_id, moved_to = excluded.moved_to,
    held_until = excluded.held_until, dead_since = excluded.dead_since, dead_reason = excluded.dead_reason,
    thread_id = excluded.thread_id, bot_id = excluded.bot_id
"""

# Seldom more than the newest: the outbox grows by id.
RECENT_CALLS_SQL = """
SELECT destination, extract(epoch FROM delivered_at)::float8 AS at
FROM (SELECT destination, delivered_at FROM dozor.notifications
      WHERE transport IS DISTINCT FROM 'second channel' ORDER BY id DESC LIMIT 500) newest
WHERE delivered_at >= to_timestamp($1)
UNION ALL
SELECT destination, extract(epoch FROM edited_at)::float8
FROM dozor.living_messages WHERE edited_at >= to_timestamp($1)
"""


async def read_all(pool: Pool) -> dict[str, DestinationRow]:
    """By key."""
    rows = await pool.fetch(READ_DESTINATIONS_SQL)
    return {row["key"]: DestinationRow(**dict(row)) for row in rows}


async def read_calls(pool: Pool, since: float) -> list[tuple[str, float]]:
    """Destinations and when something was sent or edited there, since `since` (seconds since the epoch)."""
    return [(row["destination"], row["at"]) for row in await pool.fetch(RECENT_CALLS_SQL, since)]


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
        row.thread_id,
        row.bot_id,
    )
