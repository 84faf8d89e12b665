"""Names of people and chats: a read model over `dozor.people`, which the bot writes."""

from __future__ import annotations

from dozor.storage.postgres.pool import Connection, Pool

CHAT = "chat"
"""In place of an actor's source: the row is the title of a chat, as in "chat:-1001234567890"."""

READ_PEOPLE_SQL = "SELECT actor, name FROM dozor.people"


async def read_names(connection: Pool | Connection) -> dict[str, str]:
    """Names by actor, such as "telegram:111", and by "chat:" with the chat's id."""
    return {row["actor"]: row["name"] for row in await connection.fetch(READ_PEOPLE_SQL)}
