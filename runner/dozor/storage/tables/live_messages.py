"""Table `dozor.living_messages`: the live message of each incident in each chat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.tables.incidents import IncidentRow, from_json
from dozor.storage.tables.notifications import Decision, MessagePlace


@dataclass(frozen=True, slots=True)
class OutdatedMessage:
    """A message that shows less than the incident is by now."""

    message_id: int
    incident: IncidentRow


# What a person has done or what is over first, then the worst, then the longest out of date.
OUTDATED_SQL = """
SELECT l.message_id, to_jsonb(i) AS incident
FROM dozor.living_messages l JOIN dozor.incidents i ON i.id = l.incident_id
WHERE l.destination = $1 AND i.updated_at > l.shown_at + interval '1 millisecond'
  AND NOT l.incident_id = ANY($2::int8[])
ORDER BY i.state = 'open', i.severity <> 'critical', l.shown_at LIMIT 1
"""

PLACES_SQL = """
SELECT destination FROM dozor.living_messages UNION SELECT destination FROM dozor.incident_messages
"""

# Calls, reminders and first warnings: all but the message that is edited.
UNENDED_SQL = """
SELECT m.message_id, to_jsonb(i) AS incident
FROM dozor.incident_messages m
JOIN dozor.incidents i ON i.id = m.incident_id
LEFT JOIN dozor.living_messages l ON l.destination = m.destination AND l.incident_id = m.incident_id
WHERE m.destination = $1 AND i.state = 'resolved' AND m.message_id IS DISTINCT FROM l.message_id
ORDER BY m.message_id LIMIT 1
"""

ENDED_SQL = "DELETE FROM dozor.incident_messages WHERE destination = $1 AND message_id = $2"

# The edit is recorded with the message that it has changed.
SHOWS_SQL = """
WITH shown AS (
    UPDATE dozor.living_messages SET shown_at = to_timestamp($3), edited_at = to_timestamp($4)
    WHERE destination = $1 AND incident_id = $2
    RETURNING message_id)
UPDATE dozor.notifications SET decisions = dozor.with_decision(decisions, $5)
WHERE id = (SELECT min(n.id) FROM dozor.notifications n, shown
            WHERE n.incident_id = $2 AND n.destination = $1 AND n.message_id = shown.message_id)
"""

FORGET_SQL = "DELETE FROM dozor.living_messages WHERE destination = $1 AND incident_id = $2"

FORGET_ALL_SQL = """
WITH others AS (DELETE FROM dozor.incident_messages WHERE destination = $1)
DELETE FROM dozor.living_messages WHERE destination = $1 RETURNING incident_id
"""

# Messages of a place that a destination edits again, now that it is this place. Only of an incident whose
# newest alert here is of its present kind: one that became worse is sent anew.
ADOPT_SQL = """
WITH here AS (
    SELECT n.id, n.incident_id, n.message_id, n.kind, n.delivered_at
    FROM dozor.notifications n JOIN dozor.incidents i ON i.id = n.incident_id
    WHERE i.state <> 'resolved' AND n.state = 'delivered' AND n.message_id IS NOT NULL
      AND n.chat_id = $2 AND n.thread_id IS NOT DISTINCT FROM $3 AND n.bot_id IS NOT DISTINCT FROM $4
      AND n.kind NOT IN ('recovered', 'past')),
newest AS (
    SELECT DISTINCT ON (h.incident_id) h.incident_id, h.message_id, h.kind
    FROM here h WHERE h.kind = ANY($7::text[]) ORDER BY h.incident_id, h.id DESC),
live AS (
    INSERT INTO dozor.living_messages (destination, incident_id, first_id, message_id, shown_at)
    SELECT $1, w.incident_id, (SELECT min(h.message_id) FROM here h WHERE h.incident_id = w.incident_id),
           w.message_id, '-infinity'
    FROM newest w
    JOIN unnest($5::int8[], $6::text[]) AS o(id, kind) ON o.id = w.incident_id AND o.kind = w.kind
    ON CONFLICT (destination, incident_id) DO NOTHING
    RETURNING incident_id),
others AS (
    INSERT INTO dozor.incident_messages (destination, message_id, incident_id)
    SELECT $1, h.message_id, h.incident_id FROM here h JOIN live USING (incident_id)
    ON CONFLICT DO NOTHING)
SELECT incident_id FROM live
"""

# A chat that has been gone for two weeks is not brought up to date any more.
PRUNE_OTHERS_SQL = """
DELETE FROM dozor.incident_messages m USING dozor.incidents i
WHERE i.id = m.incident_id AND i.state = 'resolved' AND i.resolved_at < now() - interval '2 days'
"""
PRUNE_LIVING_SQL = """
DELETE FROM dozor.living_messages l USING dozor.incidents i
WHERE i.id = l.incident_id AND i.state = 'resolved' AND i.resolved_at < now() - interval '2 days'
  AND (i.updated_at <= l.shown_at + interval '1 millisecond' OR i.resolved_at < now() - interval '14 days')
"""


async def read_outdated(pool: Pool, destination: str, leave: Collection[int] = ()) -> OutdatedMessage | None:
    """The message of `destination` that most needs an edit; None if all show what is.

    Those of the incidents `leave` are passed over.
    """
    row = await pool.fetchrow(OUTDATED_SQL, destination, list(leave))
    return None if row is None else OutdatedMessage(row["message_id"], from_json(row["incident"]))


async def read_unended(pool: Pool, destination: str) -> OutdatedMessage | None:
    """A message of a resolved incident, beside the live one, that does not show its end; None: none."""
    row = await pool.fetchrow(UNENDED_SQL, destination)
    return None if row is None else OutdatedMessage(row["message_id"], from_json(row["incident"]))


async def mark_ended(pool: Pool, destination: str, message_id: int) -> None:
    """It shows the end, or cannot be edited."""
    await pool.execute(ENDED_SQL, destination, message_id)


async def read_places(pool: Pool) -> set[str]:
    """Destinations that show something."""
    return {row["destination"] for row in await pool.fetch(PLACES_SQL)}


async def mark_shown(
    pool: Pool,
    destination: str,
    incident_id: int,
    updated_at: float,
    edited_at: float,
    *,
    decision: Decision | None = None,
) -> None:
    """It shows the incident as of `updated_at`, since `edited_at` (seconds since the epoch)."""
    await pool.execute(SHOWS_SQL, destination, incident_id, updated_at, edited_at, decision)


async def forget(pool: Pool, destination: str, incident_id: int) -> None:
    """The message is gone, or cannot be edited any more."""
    await pool.execute(FORGET_SQL, destination, incident_id)


async def forget_all(pool: Pool, destination: str) -> list[int]:
    """It is another chat, topic or bot now: its old messages cannot be reached. The incidents they showed."""
    return [row["incident_id"] for row in await pool.fetch(FORGET_ALL_SQL, destination)]


async def adopt(
    pool: Pool,
    destination: str,
    place: MessagePlace,
    kinds: Mapping[int, str],
    firing: Sequence[str],
) -> list[int]:
    """Edit again what `place` has of open incidents, from whatever destination; their ids.

    `kinds`: those that may be taken, each with the kind of notification that it is now. `firing`: kinds of
    notifications about something wrong.
    """
    rows = await pool.fetch(ADOPT_SQL, destination, *place, list(kinds), list(kinds.values()), list(firing))
    return [row["incident_id"] for row in rows]


async def prune(connection: Connection) -> None:
    """Forget messages of incidents resolved two days ago."""
    await connection.execute(PRUNE_OTHERS_SQL)
    await connection.execute(PRUNE_LIVING_SQL)
