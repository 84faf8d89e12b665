"""An update of Telegram, reduced to what matters here: a command, a press, or nothing of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiogram.types import CallbackQuery, InaccessibleMessage, Message, Update

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]+))?(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Where it came from, and where an answer goes."""

    user_id: int | None
    user_name: str
    chat_id: int
    private: bool
    thread_id: int | None
    message_id: int
    language_code: str = ""
    """IETF tag of the person's own Telegram, "" if it does not say."""


@dataclass(frozen=True, slots=True)
class Command:
    """`name` in lower case, without the slash; "" for words in a private chat. `date`: when it was sent."""

    sender: Sender
    name: str
    argument: str
    date: float


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button under a message. Its data may be anything.

    `shown`: the message has a button with this data, as Telegram itself says; None: it is too old to know.
    """

    sender: Sender
    callback_id: str
    data: str
    update_id: int
    shown: bool | None


def read_update(update: Update, username: str) -> Command | Pressed | None:
    """None: not meant for this bot (a talk in a group, a command of another bot, another kind of update)."""
    if update.callback_query is not None:
        return _read_press(update.callback_query, update.update_id)
    if update.message is not None:
        return _read_message(update.message, username)
    return None


def _read_message(message: Message, username: str) -> Command | None:
    sender = _sender(message)
    if _adds_bot(message, username):
        return Command(sender, "whoami", "", message.date.timestamp())
    found = _COMMAND.fullmatch((message.text or "").strip())
    if found is None:
        return Command(sender, "", "", message.date.timestamp()) if sender.private else None
    name, addressee, argument = found.groups()
    if addressee is not None and addressee.casefold() != username.casefold():
        return None
    return Command(sender, name.lower(), (argument or "").strip(), message.date.timestamp())


def _adds_bot(message: Message, username: str) -> bool:
    """A group was made with this bot in it, or the bot was added to one: the person learns the chat's id."""
    names = [(user.username or "").casefold() for user in message.new_chat_members or ()]
    return bool(message.group_chat_created) or (bool(username) and username.casefold() in names)


def _read_press(query: CallbackQuery, update_id: int) -> Pressed | None:
    message = query.message
    if message is None:
        return None
    thread_id, shown, data = None, None, query.data or ""
    if not isinstance(message, InaccessibleMessage):
        rows = message.reply_markup.inline_keyboard if message.reply_markup is not None else []
        shown = any(button.callback_data == data for row in rows for button in row)
        if message.is_topic_message:
            thread_id = message.message_thread_id
    sender = Sender(
        user_id=query.from_user.id,
        user_name=query.from_user.full_name,
        chat_id=message.chat.id,
        private=message.chat.type == "private",
        thread_id=thread_id,
        message_id=message.message_id,
        language_code=query.from_user.language_code or "",
    )
    return Pressed(sender, query.id, data, update_id, shown)


def _sender(message: Message) -> Sender:
    # An anonymous admin or a channel writes under a made-up user: sender_chat says so.
    person = None if message.sender_chat is not None else message.from_user
    return Sender(
        user_id=None if person is None else person.id,
        user_name="" if person is None else person.full_name,
        chat_id=message.chat.id,
        private=message.chat.type == "private",
        thread_id=message.message_thread_id if message.is_topic_message else None,
        message_id=message.message_id,
        language_code="" if person is None else person.language_code or "",
    )
