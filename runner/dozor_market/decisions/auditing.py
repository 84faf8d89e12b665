"""Records who decided about money."""

from __future__ import annotations

from typing import Protocol

from dozor.storage.postgres.pool import Connection


class Audit(Protocol):
    """The audit of one person's decisions."""

    async def record(self, connection: Connection, action: str, target: str, result: str) -> None:
        """Add an entry in the caller's transaction."""


def with_reason(result: str, reason: str) -> str:
    """The result of a decision as the audit keeps it."""
    return f"{result} ({reason})" if reason else result
