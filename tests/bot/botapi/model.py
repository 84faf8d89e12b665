"""Chats, people, messages and waiting updates, as Telegram keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.bot.botapi.refusal import bad_request, forbidden

Json = dict[str, Any]


@dataclass(slots=True)
class User:
    id: int
    first_name: str
    username: str | None = None
    language_code: str = "ru"
    is_bot: bool = False

    def to_json(self) -> Json:
        body: Json = {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name}
        if self.username:
            body["username"] = self.username
        if not self.is_bot:
            body["language_code"] = self.language_code
        return body


@dataclass(slots=True)
class Chat:
    """`topics`: thread id -> open; General has no id. `migrated_to`: the supergroup this group became."""

    id: int
    type: str
    title: str = ""
    is_forum: bool = False
    topics: dict[int, bool] = field(default_factory=dict)
    general_closed: bool = False
    migrated_to: int | None = None
    kicked: bool = False
    blocked: bool = False
    forbids: set[str] = field(default_factory=set)
    """What the bot may not send there: "text messages", "photos", "documents"."""

    @property
    def is_group(self) -> bool:
        return self.type in ("group", "supergroup")

    def to_json(self) -> Json:
        if self.type == "private":
            return {"id": self.id, "type": self.type, "first_name": self.title}
        body: Json = {"id": self.id, "type": self.type, "title": self.title}
        if self.is_forum:
            body["is_forum"] = True
        return body


@dataclass(slots=True)
class StoredMessage:
    """`history`: every text it has had, the first one first."""

    chat: Chat
    message_id: int
    sender: User
    date: int
    text: str
    entities: list[Json]
    markup: Json | None = None
    thread_id: int | None = None
    silent: bool = False
    reply_to: int | None = None
    document: str | None = None
    content: bytes = b""
    """Of the document."""
    photo: bool = False
    history: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        body: Json = {
            "message_id": self.message_id,
            "date": self.date,
            "chat": self.chat.to_json(),
            "from": self.sender.to_json(),
        }
        key = "caption" if self.document or self.photo else "text"
        if self.text:
            body[key] = self.text
        if self.entities:
            body["caption_entities" if key == "caption" else "entities"] = self.entities
        if self.markup:
            body["reply_markup"] = self.markup
        if self.thread_id is not None:
            body["message_thread_id"] = self.thread_id
            body["is_topic_message"] = True
        if self.document:
            body["document"] = {"file_id": "f", "file_unique_id": "f", "file_name": self.document}
        if self.photo:
            body["photo"] = [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]
        return body

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """(label, data) in reading order."""
        rows = (self.markup or {}).get("inline_keyboard", [])
        return [(button["text"], button.get("callback_data", "")) for row in rows for button in row]


class World:
    """Everything the bot could see or change. Message ids grow over all chats, as update ids do."""

    def __init__(self, token: str, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.bot = User(int(token.partition(":")[0]), "Dozor", "OurDozorBot", is_bot=True)
        self.users: dict[int, User] = {}
        self.chats: dict[int, Chat] = {}
        self.messages: dict[tuple[int, int], StoredMessage] = {}
        self.updates: list[Json] = []
        self.callbacks: dict[str, float] = {}
        self.answered: list[Json] = []
        self.commands: dict[str, list[Json]] = {}
        self.webhook = ""
        self._next_message = 1
        self._next_update = 1000
        self._next_callback = 1

    def add_user(self, user_id: int, first_name: str, **more: Any) -> User:
        """A person who has written to the bot once: their private chat exists."""
        user = self.users[user_id] = User(user_id, first_name, **more)
        self.chats[user_id] = Chat(user_id, "private", first_name)
        return user

    def add_chat(self, chat_id: int, type: str, title: str = "", **more: Any) -> Chat:  # noqa: A002
        chat = self.chats[chat_id] = Chat(chat_id, type, title, **more)
        return chat

    def find_chat(self, chat_id: Any) -> Chat:
        chat = self.chats.get(chat_id)
        if chat is None:
            raise bad_request("chat not found")
        if chat.migrated_to is not None:
            raise bad_request(
                "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.migrated_to
            )
        if chat.kicked:
            raise forbidden(f"bot was kicked from the {chat.type} chat")
        if chat.blocked:
            raise forbidden("bot was blocked by the user")
        return chat

    def store(self, chat: Chat, sender: User, text: str, **more: Any) -> StoredMessage:
        date = more.pop("date", None)
        message = StoredMessage(
            chat=chat,
            message_id=self._next_message,
            sender=sender,
            date=int(self.now() if date is None else date),
            text=text,
            entities=more.pop("entities", None) or [],
            **more,
        )
        message.history.append(text)
        self._next_message += 1
        self.messages[chat.id, message.message_id] = message
        return message

    def find_message(self, chat: Chat, message_id: int | None, what: str) -> StoredMessage:
        message = self.messages.get((chat.id, message_id or 0))
        if message is None or message.sender is not self.bot:
            raise bad_request(f"message to {what} not found")
        return message

    def say(
        self,
        user_id: int,
        text: str,
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
        date: float | None = None,
        **more: Any,
    ) -> int:
        """A person writes; the update's id. Without `chat_id`: in the private chat.

        `more`: further fields of the message, such as `forward_origin`.
        """
        user = self.users[user_id]
        chat = self.chats[user_id if chat_id is None else chat_id]
        message = self.store(chat, user, text, thread_id=thread_id, date=date)
        body = message.to_json()
        if text.startswith("/"):
            length = len(text.split()[0].encode("utf-16-le")) // 2
            body["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
        return self.push({"channel_post" if chat.type == "channel" else "message": body | more})

    def edit(self, message: StoredMessage, text: str) -> int:
        """The person who wrote it changes the text; the update's id."""
        message.text = text
        message.history.append(text)
        return self.push({"edited_message": message.to_json() | {"edit_date": int(self.now())}})

    def written(self, user_id: int) -> list[StoredMessage]:
        """The messages of a person, oldest first."""
        mine = [one for one in self.messages.values() if one.sender.id == user_id]
        return sorted(mine, key=lambda one: one.message_id)

    def change_membership(self, chat_id: int, user_id: int, status: str, **more: Any) -> int:
        """The bot's own standing in a chat becomes `status`; the update's id. `more`: of the new member."""
        body = {
            "chat": self.chats[chat_id].to_json(),
            "from": self.users[user_id].to_json(),
            "date": int(self.now()),
            "old_chat_member": {"user": self.bot.to_json(), "status": "member"},
            "new_chat_member": {"user": self.bot.to_json(), "status": status, **more},
        }
        return self.push({"my_chat_member": body})

    def press(self, user_id: int, chat_id: int, message_id: int, data: str, *, shows: str = "message") -> int:
        """A person presses a button (or a changed client says so: `data` is not checked); the update's id.

        `shows`: "message", "inaccessible" (only its chat and id, with date 0), "inline" or "nothing".
        """
        callback_id = str(self._next_callback)
        self._next_callback += 1
        self.callbacks[callback_id] = self.now()
        query = {
            "id": callback_id,
            "from": self.users[user_id].to_json(),
            "chat_instance": str(chat_id),
            "data": data,
        }
        match shows:
            case "message":
                query["message"] = self.messages[chat_id, message_id].to_json()
            case "inaccessible":
                chat = self.chats[chat_id].to_json()
                query["message"] = {"chat": chat, "message_id": message_id, "date": 0}
            case "inline":
                query["inline_message_id"] = "AgAAAA"
        return self.push({"callback_query": query})

    def push(self, body: Json) -> int:
        update_id = self._next_update
        self._next_update += 1
        self.updates.append({"update_id": update_id, **body})
        return update_id

    def sent(self, chat_id: int | None = None) -> list[StoredMessage]:
        """The bot's messages, oldest first."""
        return [
            message
            for (chat, _), message in sorted(self.messages.items(), key=lambda item: item[1].message_id)
            if message.sender is self.bot and chat_id in (None, chat)
        ]
