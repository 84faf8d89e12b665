"""Table `dozor.notifications`: the outbox. A row is one message for one destination."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dozor.storage.postgres.pool import Connection, Pool, Row
from dozor.storage.tables.incidents import IncidentRow, from_json

Decision = Mapping[str, Any]
"""Why a message was settled or put back, as JSON (`alerting.model.decisions`): appended to its row's log."""


MessagePlace = tuple[int | None, int | None, int | None]
"""Chat, topic (0: the chat itself) and bot that a message id belongs to; None: not known."""
NOWHERE: MessagePlace = (None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRow:
    """A message for the outbox. Times are seconds since the epoch (UTC).

    `destination` "": the chat of the configuration. `priority`: 0 leaves first. After `expires_at` it is
    worth nothing.
    """

    key: str
    kind: str
    severity: str
    created_at: float
    payload: dict[str, Any]
    incident_id: int | None = None
    task: str | None = None
    destination: str = ""
    priority: int = 1
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotification:
    """A message about to be sent. `attempts`: this one too; `unknown_outcomes`: may have arrived."""

    id: int
    row: NotificationRow
    attempts: int
    unknown_outcomes: int
    shown_on: str | None
    """A transport that has shown it already (the console, in place of a refusing Telegram)."""
    incident: IncidentRow | None = None
    """As it is now."""
    fired: bool = False
    """The destination has received a message about the incident before."""
    first_id: int | None = None
    """The first message about the incident there, to reply to."""
    living_id: int | None = None
    """The newest one, to be edited."""


ENQUEUE_SQL = """
INSERT INTO dozor.notifications AS o (key, incident_id, task, kind, severity, payload, created_at,
    next_attempt_at, destination, priority, expires_at, unknown_outcomes)
SELECT n.key, n.incident_id, n.task, n.kind, n.severity, n.payload, to_timestamp(n.created_at),
       to_timestamp(n.created_at), n.destination, n.priority, to_timestamp(n.expires_at), n.tried::int
FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::float8[],
            $8::text[], $9::int2[], $10::float8[], $11::bool[])
     WITH ORDINALITY AS n(key, incident_id, task, kind, severity, payload, created_at, destination,
                          priority, expires_at, tried, ordinal)
ORDER BY n.ordinal
ON CONFLICT (key) DO UPDATE SET unknown_outcomes = excluded.unknown_outcomes
    WHERE o.unknown_outcomes < excluded.unknown_outcomes AND o.state IN ('pending', 'sending')
"""

# A row found in 'sending' was being sent when its process died: its outcome is unknown.
# The most urgent leaves first, but never before an older one about the same incident.
CLAIM_SQL = """
WITH urgent AS (
    SELECT id, incident_id FROM dozor.notifications
    WHERE destination = $1 AND state IN ('pending', 'sending') AND NOT id = ANY($2::int8[])
    ORDER BY priority, id LIMIT 1),
head AS (
    SELECT n.id, n.state FROM dozor.notifications n, urgent
    WHERE n.destination = $1 AND n.state IN ('pending', 'sending') AND NOT n.id = ANY($2::int8[])
      AND (n.id = urgent.id OR n.incident_id = urgent.incident_id)
    ORDER BY n.id LIMIT 1 FOR UPDATE OF n),
claimed AS (
    UPDATE dozor.notifications n SET state = 'sending', attempts = attempts + 1,
        unknown_outcomes = unknown_outcomes + CASE WHEN head.state = 'sending' THEN 1 ELSE 0 END
    FROM head WHERE n.id = head.id
    RETURNING n.*)
SELECT c.id, c.key, c.incident_id, c.task, c.kind, c.severity, c.payload, c.attempts, c.unknown_outcomes,
       c.transport, c.destination, c.priority, extract(epoch FROM c.created_at)::float8 AS created_at,
       extract(epoch FROM c.expires_at)::float8 AS expires_at, l.first_id, l.message_id AS living_id,
       l.message_id IS NOT NULL OR (c.incident_id IS NOT NULL AND EXISTS (
           SELECT 1 FROM dozor.notifications d
           WHERE d.incident_id = c.incident_id AND d.destination = c.destination
             AND d.state = 'delivered')) AS fired,
       to_jsonb(i) AS incident
FROM claimed c
LEFT JOIN dozor.incidents i ON i.id = c.incident_id
LEFT JOIN dozor.living_messages l ON l.incident_id = c.incident_id AND l.destination = c.destination
"""

DELIVERED_SQL = """
WITH delivered AS (
    UPDATE dozor.notifications SET state = 'delivered', delivered_at = to_timestamp($5), transport = $2,
        message_id = $3, last_error = NULL, decisions = dozor.with_decision(decisions, $6),
        chat_id = $7, thread_id = $8, bot_id = $9
    WHERE id = $1
    RETURNING incident_id, destination, kind),
noted AS (
    INSERT INTO dozor.incident_messages (destination, message_id, incident_id)
    SELECT destination, $3, incident_id FROM delivered
    WHERE incident_id IS NOT NULL AND $3::int8 IS NOT NULL AND kind NOT IN ('recovered', 'past')
    ON CONFLICT DO NOTHING)
INSERT INTO dozor.living_messages AS l (destination, incident_id, first_id, message_id, shown_at)
SELECT destination, incident_id, $3, $3, to_timestamp($4) FROM delivered
WHERE incident_id IS NOT NULL AND $3::int8 IS NOT NULL AND $4::float8 IS NOT NULL
ON CONFLICT (destination, incident_id) DO UPDATE
    SET message_id = excluded.message_id, shown_at = excluded.shown_at
"""

# Unless it was delivered another way meanwhile, see dozor.storage.tables.fallback_deliveries.
PUT_BACK_SQL = """
UPDATE dozor.notifications SET state = 'pending', unknown_outcomes = unknown_outcomes + $2, last_error = $3,
    transport = coalesce($4, transport), next_attempt_at = now() + make_interval(secs => $5),
    decisions = dozor.with_decision(decisions, $6)
WHERE id = $1 AND state = 'sending'
"""

DROP_SQL = """
UPDATE dozor.notifications SET state = $2, last_error = $3, decisions = dozor.with_decision(decisions, $4)
WHERE id = $1 AND state IN ('pending', 'sending')
"""

# What was queued since then is not reported yet.
SUPERSEDE_SQL = """
UPDATE dozor.notifications SET state = 'superseded', last_error = $4,
    decisions = dozor.with_decision(decisions, $6)
WHERE destination = $1 AND incident_id = $2 AND id <> $3 AND state = 'pending'
  AND created_at <= to_timestamp($5) + interval '1 millisecond'
"""

UNSHOWN_SQL = """
SELECT id, key, incident_id, task, kind, severity, payload, attempts, unknown_outcomes, transport,
       destination, priority, extract(epoch FROM created_at)::float8 AS created_at,
       extract(epoch FROM expires_at)::float8 AS expires_at, NULL AS first_id, NULL AS living_id,
       false AS fired, NULL AS incident
FROM dozor.notifications
WHERE destination = $1 AND state IN ('pending', 'sending') AND transport IS NULL AND id <> $2
ORDER BY priority, id LIMIT 50
"""

SHOWN_SQL = """
UPDATE dozor.notifications SET transport = $2, decisions = dozor.with_decision(decisions, $3)
WHERE id = $1 AND state IN ('pending', 'sending')
"""

# Calls to a person whose private chat refuses them; not where the same level calls in the group anyway.
COPY_CALLS_SQL = """
INSERT INTO dozor.notifications (key, incident_id, task, kind, severity, payload, created_at,
    next_attempt_at, destination, priority, expires_at)
SELECT n.key || '/group', n.incident_id, n.task, n.kind, n.severity, n.payload, n.created_at, now(), '',
       n.priority, n.expires_at
FROM dozor.notifications n
WHERE n.destination = $1 AND n.kind = 'escalation' AND n.state IN ('pending', 'sending')
  AND NOT EXISTS (
      SELECT 1 FROM dozor.notifications o
      WHERE o.incident_id = n.incident_id AND o.kind = n.kind AND o.destination = ''
        AND o.created_at = n.created_at AND o.key NOT LIKE '%/group'
        AND coalesce(o.payload->'called', '[]') @> coalesce(n.payload->'called', '[]'))
ON CONFLICT (key) DO NOTHING
"""

PENDING_ANEW_SQL = """
SELECT incident_id FROM dozor.notifications
WHERE destination = $1 AND state IN ('pending', 'sending') AND key LIKE 'anew-%'
"""

PENDING_BY_DESTINATION_SQL = """
SELECT destination, extract(epoch FROM min(created_at))::float8 AS since, count(*) AS count
FROM dozor.notifications WHERE state IN ('pending', 'sending') GROUP BY destination
"""

URGENT_SINCE_SQL = """
SELECT destination, extract(epoch FROM min(created_at))::float8 AS since
FROM dozor.notifications WHERE state IN ('pending', 'sending') AND priority <= $1 GROUP BY destination
"""

PRUNE_NOTIFICATIONS_SQL = """
DELETE FROM dozor.notifications WHERE id IN (
    SELECT id FROM dozor.notifications
    WHERE state NOT IN ('pending', 'sending') AND created_at < now() - make_interval(days => $1)
    LIMIT 10000)
"""


async def enqueue(
    connection: Connection, rows: Sequence[NotificationRow], tried: Container[str] = frozenset()
) -> None:
    """Add to the outbox, in order; a key that is there already learns only that it has been `tried`."""
    await connection.execute(
        ENQUEUE_SQL,
        [r.key for r in rows],
        [r.incident_id for r in rows],
        [r.task for r in rows],
        [r.kind for r in rows],
        [r.severity for r in rows],
        [r.payload for r in rows],
        [r.created_at for r in rows],
        [r.destination for r in rows],
        [r.priority for r in rows],
        [r.expires_at for r in rows],
        [r.key in tried for r in rows],
    )


async def claim(
    pool: Pool, destination: str = "", *, leave: Sequence[int] = ()
) -> ClaimedNotification | None:
    """The most urgent, then oldest message queued for `destination`, marked as being sent; None: none.

    Those with an id in `leave` are passed over.
    """
    row = await pool.fetchrow(CLAIM_SQL, destination, leave)
    return None if row is None else from_row(row)


async def mark_delivered(
    pool: Pool,
    notification_id: int,
    transport: str,
    message_id: int | None,
    at: float,
    shows: float | None = None,
    *,
    place: MessagePlace = NOWHERE,
    decision: Decision | None = None,
) -> None:
    """It arrived at `at` (seconds since the epoch), in `place`.

    `shows`: the `updated_at` of the incident that this message shows, and goes on showing from now on.
    """
    await pool.execute(DELIVERED_SQL, notification_id, transport, message_id, shows, at, decision, *place)


async def put_back(
    pool: Pool,
    notification_id: int,
    error: str,
    *,
    unknown: bool,
    retry_in: float,
    shown_on: str | None = None,
    decision: Decision | None = None,
) -> None:
    """Put it back into the queue. `unknown`: this attempt may have arrived. `retry_in` in seconds."""
    await pool.execute(PUT_BACK_SQL, notification_id, int(unknown), error, shown_on, retry_in, decision)


async def mark_undeliverable(
    pool: Pool, notification_id: int, error: str, *, decision: Decision | None = None
) -> None:
    """No transport can take this message; it has been shown on the console."""
    await pool.execute(DROP_SQL, notification_id, "undeliverable", error, decision)


async def drop(
    pool: Pool, notification_id: int, state: str, why: str, *, decision: Decision | None = None
) -> None:
    """Not to be sent any more. `state`: superseded or expired."""
    await pool.execute(DROP_SQL, notification_id, state, why, decision)


async def supersede_others(
    pool: Pool, told: ClaimedNotification, *, decision: Decision | None = None
) -> None:
    """It replaces everything that was queued there about the incident when `told` was read."""
    if (incident := told.incident) is not None:
        known = max(incident.updated_at, incident.notified_at or 0.0)
        place = told.row.destination
        why = "said by another"
        await pool.execute(SUPERSEDE_SQL, place, incident.id, told.id, why, known, decision)


async def read_unshown(pool: Pool, destination: str, but: int) -> list[ClaimedNotification]:
    """Messages queued for `destination` but this one that no transport has shown, at most 50."""
    return [from_row(row) for row in await pool.fetch(UNSHOWN_SQL, destination, but)]


async def mark_shown(
    pool: Pool, notification_id: int, transport: str, *, decision: Decision | None = None
) -> None:
    """It stays queued, but was shown on the console."""
    await pool.execute(SHOWN_SQL, notification_id, transport, decision)


async def copy_calls(pool: Pool, destination: str) -> None:
    """Queue the calls that wait for `destination` for the chat of the configuration as well, each once."""
    await pool.execute(COPY_CALLS_SQL, destination)


async def pending_anew(pool: Pool, destination: str) -> set[int]:
    """Incidents that are about to be sent there anew, see `alerting.delivery.live_edits.told_anew`."""
    return {row["incident_id"] for row in await pool.fetch(PENDING_ANEW_SQL, destination)}


async def pending_by_destination(pool: Pool) -> dict[str, tuple[float, int]]:
    """By destination: since when the oldest message is queued (seconds since the epoch), and how many are."""
    return {
        row["destination"]: (row["since"], row["count"])
        for row in await pool.fetch(PENDING_BY_DESTINATION_SQL)
    }


async def read_urgent(pool: Pool, priority: int) -> dict[str, float]:
    """By destination: since when a message of `priority` or more urgent waits (seconds since the epoch)."""
    rows = await pool.fetch(URGENT_SINCE_SQL, priority)
    return {row["destination"]: row["since"] for row in rows}


async def prune(connection: Connection, days: int) -> None:
    """Delete up to 10,000 settled messages older than `days`."""
    await connection.execute(PRUNE_NOTIFICATIONS_SQL, days)


def from_row(row: Row) -> ClaimedNotification:
    """Of a statement with the columns of CLAIM_SQL."""
    incident = row["incident"]
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
            destination=row["destination"],
            priority=row["priority"],
            expires_at=row["expires_at"],
        ),
        attempts=row["attempts"],
        unknown_outcomes=row["unknown_outcomes"],
        shown_on=row["transport"],
        incident=None if incident is None else from_json(incident),
        fired=row["fired"],
        first_id=row["first_id"],
        living_id=row["living_id"],
    )
