"""The audit log: who did what, when, from where, and with which result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dozor.control.commands.actor import Actor
from dozor.storage.postgres.pool import Connection

RECORD_SQL = """
INSERT INTO dozor.audit (actor, source, place, action, target, result) VALUES ($1, $2, $3, $4, $5, $6)
"""

RECENT_SQL = """
SELECT at, actor, source, place, action, target, result FROM dozor.audit ORDER BY id DESC LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime
    actor: str
    source: str
    place: str
    action: str
    target: str
    result: str


async def record(connection: Connection, actor: Actor, action: str, target: str, result: str) -> None:
    """Add one row, at the database's time."""
    await connection.execute(RECORD_SQL, str(actor), actor.source.value, actor.place, action, target, result)


async def read_recent(connection: Connection, limit: int = 50) -> list[AuditEntry]:
    """The newest first."""
    return [AuditEntry(**dict(row)) for row in await connection.fetch(RECENT_SQL, limit)]
