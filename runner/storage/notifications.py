"""Table `dozor.notifications`: the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.storage.pool import Connection, Pool, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRow:
    """A message to be owed. `created_at`: seconds since the epoch (UTC)."""

    key: str
    kind: str
    severity: str
    created_at: float
    payload: dict[str, Any]
    incident_id: int | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotification:
    """A message about to be sent. `attempts`: this one too; `unknown_outcomes`: may have arrived."""

    id: int
    row: NotificationRow
    attempts: int
    unknown_outcomes: int
    shown_on: str | None
    """A transport that has shown it already (the console, in place of a refusing Telegram)."""


OWE_SQL = """
INSERT INTO dozor.notifications (key, incident_id, task, kind, severity, payload, created_at, next_attempt_at)
SELECT n.key, n.incident_id, n.task, n.kind, n.severity, n.payload, to_timestamp(n.created_at),
       to_timestamp(n.created_at)
FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::float8[])
     WITH ORDINALITY AS n(key, incident_id, task, kind, severity, payload, created_at, ordinal)
ORDER BY n.ordinal
ON CONFLICT (key) DO NOTHING
"""

# A row found in 'sending' was being sent when its process died: its outcome is unknown.
CLAIM_SQL = """
WITH head AS (
    SELECT id, state FROM dozor.notifications
    WHERE state IN ('pending', 'sending') AND id > $1 ORDER BY id LIMIT 1 FOR UPDATE)
UPDATE dozor.notifications n SET state = 'sending', attempts = attempts + 1,
    unknown_outcomes = unknown_outcomes + CASE WHEN head.state = 'sending' THEN 1 ELSE 0 END
FROM head WHERE n.id = head.id
RETURNING n.id, n.key, n.incident_id, n.task, n.kind, n.severity, n.payload, n.attempts, n.unknown_outcomes,
          n.transport, extract(epoch FROM n.created_at)::float8 AS created_at
"""

DELIVERED_SQL = """
UPDATE dozor.notifications SET state = 'delivered', delivered_at = now(), transport = $2, message_id = $3,
    last_error = NULL
WHERE id = $1
"""

PUT_BACK_SQL = """
UPDATE dozor.notifications SET state = 'pending', unknown_outcomes = unknown_outcomes + $2, last_error = $3,
    transport = coalesce($4, transport), next_attempt_at = now() + make_interval(secs => $5)
WHERE id = $1
"""

UNDELIVERABLE_SQL = """
UPDATE dozor.notifications SET state = 'undeliverable', last_error = $2 WHERE id = $1
"""

UNSHOWN_SQL = """
SELECT id, key, incident_id, task, kind, severity, payload, attempts, unknown_outcomes, transport,
       extract(epoch FROM created_at)::float8 AS created_at
FROM dozor.notifications
WHERE state IN ('pending', 'sending') AND transport IS NULL AND id > $1 ORDER BY id LIMIT 50
"""

SHOWN_SQL = "UPDATE dozor.notifications SET transport = $2 WHERE id = $1"

PRUNE_NOTIFICATIONS_SQL = """
DELETE FROM dozor.notifications WHERE id IN (
    SELECT id FROM dozor.notifications
    WHERE state IN ('delivered', 'undeliverable') AND created_at < now() - make_interval(days => $1)
    LIMIT 10000)
"""


async def owe(connection: Connection, rows: Sequence[NotificationRow]) -> None:
    """Add to the outbox, in order; a key that is there already is left alone."""
    await connection.execute(
        OWE_SQL,
        [r.key for r in rows],
        [r.incident_id for r in rows],
        [r.task for r in rows],
        [r.kind for r in rows],
        [r.severity for r in rows],
        [r.payload for r in rows],
        [r.created_at for r in rows],
    )


async def claim(pool: Pool, *, after_id: int = 0) -> ClaimedNotification | None:
    """The oldest message owed beyond `after_id`, marked as being sent; None if there is none."""
    row = await pool.fetchrow(CLAIM_SQL, after_id)
    return None if row is None else _claimed(row)


async def mark_delivered(pool: Pool, notification_id: int, transport: str, message_id: int | None) -> None:
    await pool.execute(DELIVERED_SQL, notification_id, transport, message_id)


async def put_back(
    pool: Pool,
    notification_id: int,
    error: str,
    *,
    unknown: bool,
    retry_in: float,
    shown_on: str | None = None,
) -> None:
    """Owe it still. `unknown`: this attempt may have arrived. `retry_in` in seconds."""
    await pool.execute(PUT_BACK_SQL, notification_id, int(unknown), error, shown_on, retry_in)


async def mark_undeliverable(pool: Pool, notification_id: int, error: str) -> None:
    """No transport can take this message; it has been shown on the console."""
    await pool.execute(UNDELIVERABLE_SQL, notification_id, error)


async def read_unshown(pool: Pool, after_id: int) -> list[ClaimedNotification]:
    """Messages owed beyond `after_id` that no transport has shown, oldest first, at most 50."""
    return [_claimed(row) for row in await pool.fetch(UNSHOWN_SQL, after_id)]


async def mark_shown(pool: Pool, notification_id: int, transport: str) -> None:
    """It is owed still, but somebody at the console has seen it."""
    await pool.execute(SHOWN_SQL, notification_id, transport)


async def prune(connection: Connection, days: int) -> None:
    """Delete up to 10,000 settled messages older than `days`."""
    await connection.execute(PRUNE_NOTIFICATIONS_SQL, days)


def _claimed(row: Row) -> ClaimedNotification:
    return ClaimedNotification(
        id=row["id"],
        row=NotificationRow(
            key=row["key"],
            kind=row["kind"],
            severity=row["severity"],
            created_at=row["created_at"],
            payload=row["payload"],
            incident_id=row["incident_id"],
            task=row["task"],
        ),
        attempts=row["attempts"],
        unknown_outcomes=row["unknown_outcomes"],
        shown_on=row["transport"],
    )
