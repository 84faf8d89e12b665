"""Chat and sender of an update: plain JSON in, no calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

UNPRINTABLE = "?"
LONGEST = 60
"""Characters of a title or a name that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message somebody has written. `user_id` None: an anonymous administrator, or a channel.

    `date`: seconds since the epoch, Telegram's clock. `thread_id` None: no topic, or General.
    """

    chat_id: int
    title: str
    private: bool
    thread_id: int | None
    user_id: int | None
    user_name: str
    date: float

    def moved(self, chat_id: int) -> Self:
        """In the supergroup that the group has become."""
        return replace(self, chat_id=chat_id)


def seen_in(update: dict[str, Any]) -> Seen | None:
    """None for anything that nobody wrote: a press, a change of members, a message in a channel."""
    message = update.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("chat"), dict):
        return None
    chat, person = message["chat"], message.get("from") or {}
    if chat.get("type") not in ("private", "group", "supergroup") or "migrate_to_chat_id" in message:
        return None
    if "sender_chat" in message or person.get("is_bot"):
        person = {}
    private = chat["type"] == "private"
    return Seen(
        chat_id=int(chat["id"]),
        title=shown(chat.get("title") or _name(person)),
        private=private,
        thread_id=message.get("message_thread_id") if message.get("is_topic_message") else None,
        user_id=person.get("id"),
        user_name=_name(person),
        date=float(message.get("date") or 0),
    )


def added_to(update: dict[str, Any]) -> str | None:
    """The title of the group that the bot has just been added to."""
    change = update.get("my_chat_member")
    if not isinstance(change, dict) or change.get("chat", {}).get("type") not in ("group", "supergroup"):
        return None
    status = change.get("new_chat_member", {}).get("status")
    return shown(change["chat"].get("title") or "") if status in ("member", "administrator") else None


def pressed(update: dict[str, Any], data: str) -> tuple[str, str] | None:
    """The press's id and the person's name, if it is the button with this data."""
    query = update.get("callback_query")
    if not isinstance(query, dict) or query.get("data") != data:
        return None
    return str(query.get("id")), _name(query.get("from") or {})


def shown(text: str) -> str:
    """In one line and harmless for a terminal: a title is written by anybody."""
    plain = "".join(one if one.isprintable() else UNPRINTABLE for one in str(text))
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def _name(person: dict[str, Any]) -> str:
    words = [person.get("first_name") or "", person.get("last_name") or ""]
    if person.get("username"):
        words.append(f"@{person['username']}")
    return shown(" ".join(word for word in words if word))
