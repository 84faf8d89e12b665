"""Undelivered messages: a read model over the outbox."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.storage.postgres.pool import Connection

PENDING_MESSAGES_SQL = """
SELECT id, kind, severity, task, attempts, last_error, extract(epoch FROM created_at)::float8 AS created_at
FROM dozor.notifications WHERE state IN ('pending', 'sending') ORDER BY id LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """`created_at`: seconds since the epoch."""

    id: int
    kind: str
    severity: str
    task: str | None
    attempts: int
    last_error: str | None
    created_at: float


async def read_pending_messages(connection: Connection, limit: int = 20) -> tuple[PendingMessage, ...]:
    """The oldest first."""
    return tuple(PendingMessage(**dict(row)) for row in await connection.fetch(PENDING_MESSAGES_SQL, limit))
