"""The position up to which a source has been read, moved in the transaction that stores what was read."""

from __future__ import annotations

from typing import Any, Final

from dozor.storage.postgres.pool import Connection

START: Final = "INSERT INTO dozor.cursors (name, position) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
READ: Final = "SELECT position FROM dozor.cursors WHERE name = $1 FOR UPDATE"
MOVE: Final = """
INSERT INTO dozor.cursors (name, position) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, moved_at = now()"""


async def start_cursor(connection: Connection, name: str, position: dict[str, Any]) -> None:
    """Begin at `position`, unless the cursor exists: so that there is a row for `read_cursor` to lock."""
    await connection.execute(START, name, position)


async def read_cursor(connection: Connection, name: str) -> dict[str, Any] | None:
    """The position, locked until the transaction ends so that two readers take turns; None: never read."""
    position: dict[str, Any] | None = await connection.fetchval(READ, name)
    return position


async def move_cursor(connection: Connection, name: str, position: dict[str, Any]) -> None:
    """Remember `position` (any JSON object) in the caller's transaction."""
    await connection.execute(MOVE, name, position)
