"""Names of people and chats: a read model over `dozor.people`, which the bot writes."""

from __future__ import annotations

from collections.abc import Callable

from dozor.storage.postgres.pool import Connection, Pool

CHAT = "chat"
"""In place of an actor's source: the row is the title of a chat, as in "chat:-1001234567890"."""
TELEGRAM = "telegram"
"""Source of people whose id is a Telegram id, as in "telegram:111"."""

READ_PEOPLE_SQL = "SELECT actor, name FROM dozor.people"


async def read_names(connection: Pool | Connection) -> dict[str, str]:
    """Names by actor, such as "telegram:111", and by "chat:" with the chat's id."""
    return {row["actor"]: row["name"] for row in await connection.fetch(READ_PEOPLE_SQL)}


def actors_of_place(place: str) -> tuple[str, str]:
    """Under which the title of a destination such as "-1001:17", or the name of the person "111", is kept."""
    chat = place.partition(":")[0]
    return f"{CHAT}:{chat}", f"{TELEGRAM}:{chat}"


def place_name(place: str, name_of: Callable[[str], str | None]) -> str | None:
    """Of a destination: the chat's title with the topic's number, or the person's name; None: not known."""
    chat, person = actors_of_place(place)
    topic = place.partition(":")[2]
    name = name_of(chat) or name_of(person)
    return f"{name}:{topic}" if name is not None and topic else name
