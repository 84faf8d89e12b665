"""Table `dozor.notifications`: undelivered messages, failover through another channel, and its summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dozor.storage.postgres.pool import Pool
from dozor.storage.tables.notifications import ClaimedNotification, Decision, from_row

SUMMARY = "summary"
"""As the runner calls the kind."""


@dataclass(frozen=True, slots=True)
class PendingSummary:
    """`free`: nobody is sending it at this moment."""

    id: int
    destination: str
    free: bool
    payload: dict[str, Any]


# A message that another chat has received is not sent again because this one is gone; an escalation is.
UNSENT_SQL = """
SELECT n.id, n.key, n.incident_id, n.task, n.kind, n.severity, n.payload, n.attempts, n.unknown_outcomes,
       n.transport, n.destination, n.priority, extract(epoch FROM n.created_at)::float8 AS created_at,
       extract(epoch FROM n.expires_at)::float8 AS expires_at, NULL AS first_id, NULL AS living_id,
       n.incident_id IS NOT NULL AND EXISTS (
           SELECT 1 FROM dozor.notifications d
           WHERE d.incident_id = n.incident_id AND d.destination = n.destination
             AND d.state = 'delivered') AS fired,
       to_jsonb(i) AS incident
FROM dozor.notifications n LEFT JOIN dozor.incidents i ON i.id = n.incident_id
WHERE n.state IN ('pending', 'sending') AND n.kind <> $1
  AND (n.kind = $2 OR n.incident_id IS NULL OR NOT EXISTS (
           SELECT 1 FROM dozor.notifications t
           WHERE t.incident_id = n.incident_id AND t.kind = n.kind AND t.created_at = n.created_at
             AND t.destination <> n.destination AND t.state = 'delivered' AND t.transport <> $3))
ORDER BY n.priority, n.id LIMIT $4
"""

TOLD_SQL = """
UPDATE dozor.notifications SET state = 'delivered', delivered_at = to_timestamp($3), transport = $2,
    last_error = NULL, decisions = dozor.with_decision(decisions, $4)
WHERE id = ANY($1::int8[]) AND state IN ('pending', 'sending')
"""

# What was sent through another channel and is in no summary that was sent.
UNSUMMED_SQL = """
SELECT n.id, n.key, n.incident_id, n.task, n.kind, n.severity, n.payload, n.attempts, n.unknown_outcomes,
       n.transport, n.destination, n.priority, extract(epoch FROM n.created_at)::float8 AS created_at,
       extract(epoch FROM n.expires_at)::float8 AS expires_at, NULL AS first_id, NULL AS living_id,
       true AS fired, to_jsonb(i) AS incident
FROM dozor.notifications n LEFT JOIN dozor.incidents i ON i.id = n.incident_id
WHERE n.state = 'delivered' AND n.transport = $1 AND n.delivered_at > to_timestamp($3)
  AND NOT EXISTS (
      SELECT 1 FROM dozor.notifications s
      WHERE s.kind = $2 AND s.destination = n.destination AND s.state NOT IN ('pending', 'sending')
        AND s.payload -> 'told' @> to_jsonb(n.id))
ORDER BY n.id LIMIT 2000
"""

PENDING_SUMMARIES_SQL = """
SELECT id, destination, state = 'pending' AS free, payload FROM dozor.notifications
WHERE kind = $1 AND state IN ('pending', 'sending')
"""

REWRITE_SUMMARY_SQL = "UPDATE dozor.notifications SET payload = $2 WHERE id = $1 AND state = 'pending'"


async def read_unsent(pool: Pool, call: str, transport: str, limit: int) -> list[ClaimedNotification]:
    """Not delivered, to any destination, the most urgent first. `call`: the kind that calls for a person.

    What only `transport` has delivered to another chat counts as not delivered there.
    """
    return [from_row(row) for row in await pool.fetch(UNSENT_SQL, SUMMARY, call, transport, limit)]


async def mark_told(
    pool: Pool, ids: Sequence[int], transport: str, at: float, *, decision: Decision | None = None
) -> None:
    """Delivered by `transport` at `at` (seconds since the epoch). What is settled by now is not changed."""
    await pool.execute(TOLD_SQL, ids, transport, at, decision)


async def read_unsummed(pool: Pool, transport: str, since: float) -> list[ClaimedNotification]:
    """What `transport` has sent since `since` and is in no summary that was sent; at most 2,000."""
    return [from_row(row) for row in await pool.fetch(UNSUMMED_SQL, transport, SUMMARY, since)]


async def read_pending_summaries(pool: Pool) -> list[PendingSummary]:
    """Those that have not left."""
    rows = await pool.fetch(PENDING_SUMMARIES_SQL, SUMMARY)
    return [PendingSummary(row["id"], row["destination"], row["free"], row["payload"]) for row in rows]


async def rewrite_summary(pool: Pool, summary_id: int, payload: dict[str, Any]) -> None:
    """Unless it is being sent, or has left."""
    await pool.execute(REWRITE_SUMMARY_SQL, summary_id, payload)
