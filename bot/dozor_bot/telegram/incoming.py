"""Reduces an update of Telegram to what the bot uses: a command, a press, news of a chat, or nothing.

Updates are read as plain JSON, field by field. A field or a content type that this version does not know
therefore changes nothing for the command beside it (a command may reply to any kind of message).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]+))?(?:\s+(.*))?", re.DOTALL)
NO_MESSAGE = 0
"""In place of a message's id: there is no message that an answer could refer to or replace."""


class Authorship(StrEnum):
    """Whose words a command is. Only a person's own words are carried out."""

    OWN = "own"
    FORWARDED = "forwarded"
    """Somebody else's message, passed on: `forward_origin`, or `forward_date` of an older Bot API server."""
    VIA_BOT = "via_bot"
    """Written by an inline bot on the person's behalf."""
    CHANNEL = "channel"
    """A post of a channel, or a message written as a channel: it has no author."""
    ANONYMOUS = "anonymous"
    """An administrator who writes as the group itself."""
    EDITED = "edited"
    """The person's own, changed after it was sent: it may have been carried out as it was before."""
    ADDRESSED = "addressed"
    """In private, and with the name of another bot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Where it came from, and where an answer goes. `message_id` may be NO_MESSAGE."""

    user_id: int | None
    user_name: str
    chat_id: int
    private: bool
    thread_id: int | None
    message_id: int
    language_code: str = ""
    """IETF tag of the person's own Telegram, "" if it is not given."""
    username: str = ""
    """The person's @name without the @, "" if they have none."""
    chat_title: str = ""
    """Of a group or channel."""
    update_id: int = field(default=0, compare=False)
    """Of the command or press that is answered; 0: not known."""


@dataclass(frozen=True, slots=True)
class Command:
    """`name` in lower case, without the slash; "" for words in a private chat.

    `date`: when it was sent, seconds since the epoch by Telegram's clock.
    """

    sender: Sender
    name: str
    argument: str
    date: float
    authorship: Authorship = Authorship.OWN
    origin: str = ""
    """Of a forwarded message: the type of its origin, such as "hidden_user". Of an addressed one: to whom."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button under a message. Its data may be anything.

    `shown`: the message has a button with this data, as Telegram itself says; None: Telegram does not show
    the message (it is too old, or was sent through an inline query).
    """

    sender: Sender
    callback_id: str
    data: str
    update_id: int
    shown: bool | None


@dataclass(frozen=True, slots=True)
class Membership:
    """The bot's own standing in a chat has changed. `may_write`: it can send text there now.

    `until`: when a restriction ends by itself, seconds since the epoch; None: there is none that ends.
    """

    chat_id: int
    title: str
    private: bool
    may_write: bool
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """The group `old_id` has become the supergroup `new_id`."""

    old_id: int
    new_id: int


Incoming = Command | Pressed | Membership | Migration


class UnreadableUpdateError(ValueError):
    """A required field is missing or of another type."""


def read_update(update: Json, username: str) -> Incoming | None:
    """None: not meant for this bot (a talk in a group, a command of another bot, another kind of update).

    Raises UnreadableUpdateError, which names the field.
    """
    incoming = _read(update, username)
    if isinstance(incoming, Command | Pressed):
        sender = replace(incoming.sender, update_id=int(update["update_id"]))
        return replace(incoming, sender=sender)
    return incoming


def _read(update: Json, username: str) -> Incoming | None:
    if (query := update.get("callback_query")) is not None:
        return _read_press(_object(query, "callback_query"), int(update["update_id"]))
    for kind in ("message", "channel_post"):
        if (message := update.get(kind)) is not None:
            return _read_message(_object(message, kind), username)
    if (edited := update.get("edited_message")) is not None:
        return _read_edited(_object(edited, "edited_message"), username)
    if (changed := update.get("my_chat_member")) is not None:
        return _read_membership(_object(changed, "my_chat_member"))
    return None


def chat_of(update: Json) -> int | None:
    """The chat of a new message, of whatever kind; None: the update brings no message."""
    for kind in ("message", "channel_post"):
        chat = (update.get(kind) or {}).get("chat") if isinstance(update.get(kind), dict) else None
        if isinstance(chat, dict) and type(chat.get("id")) is int:
            return int(chat["id"])
    return None


def addressee_of(update: Json) -> str | None:
    """The bot that a command is addressed to, without the @; None: it is no command, or names no bot."""
    message = update.get("message")
    found = _command_in(message) if isinstance(message, dict) else None
    return None if found is None else found[2]


def _command_in(message: Json) -> re.Match[str] | None:
    """In the text, or in the words under a photo or a file."""
    text = message.get("text")
    text = text if isinstance(text, str) else message.get("caption")
    return _COMMAND.fullmatch(text.strip()) if isinstance(text, str) else None


def _read_edited(message: Json, username: str) -> Command | None:
    """A command only: other words may be edited at will."""
    if _command_in(message) is None:
        return None
    read = _read_message(message, username)
    if not isinstance(read, Command) or read.authorship is not Authorship.OWN:
        return None
    return replace(read, authorship=Authorship.EDITED)


def _read_message(message: Json, username: str) -> Command | Migration | None:
    chat = _object(message.get("chat"), "chat")
    moved_to, moved_from = message.get("migrate_to_chat_id"), message.get("migrate_from_chat_id")
    if type(moved_to) is int:
        return Migration(_integer(chat, "id"), moved_to)
    if type(moved_from) is int:
        return Migration(moved_from, _integer(chat, "id"))
    sender = _sender(message, chat)
    date = float(_integer(message, "date"))
    if _adds_bot(message, username):
        return Command(sender, "whoami", "", date)
    found = _command_in(message)
    authorship, origin = _authorship(message, chat)
    if found is None:
        return Command(sender, "", "", date, authorship, origin) if sender.private else None
    name, addressee, argument = found.groups()
    if addressee is not None and addressee.casefold() != username.casefold():
        if not sender.private:
            return None
        if authorship is Authorship.OWN:
            authorship, origin = Authorship.ADDRESSED, addressee
    return Command(sender, name.lower(), (argument or "").strip(), date, authorship, origin)


def _authorship(message: Json, chat: Json) -> tuple[Authorship, str]:
    """https://core.telegram.org/bots/api#message: `sender_chat` first, since nobody's role applies then."""
    author = message.get("sender_chat")
    if chat.get("type") == "channel" or message.get("is_automatic_forward") is True:
        return Authorship.CHANNEL, ""
    if author is not None:
        same = isinstance(author, dict) and author.get("id") == chat.get("id")
        return (Authorship.ANONYMOUS if same else Authorship.CHANNEL), ""
    origin = message.get("forward_origin")
    if origin is not None or message.get("forward_date") is not None:
        kind = origin.get("type") if isinstance(origin, dict) else None
        return Authorship.FORWARDED, kind if isinstance(kind, str) else ""
    if message.get("via_bot") is not None:
        return Authorship.VIA_BOT, ""
    return Authorship.OWN, ""


def _adds_bot(message: Json, username: str) -> bool:
    """A group was made with this bot in it, or the bot was added to one: the person learns the chat's id."""
    if message.get("group_chat_created") is True:
        return True
    members = message.get("new_chat_members")
    names = (
        [one.get("username") for one in members if isinstance(one, dict)] if isinstance(members, list) else []
    )
    return bool(username) and username.casefold() in [str(name).casefold() for name in names]


def _read_press(query: Json, update_id: int) -> Pressed:
    person, message = _object(query.get("from"), "from"), query.get("message")
    user_id, data = _integer(person, "id"), query.get("data")
    data = data if isinstance(data, str) else ""
    callback_id = query.get("id")
    if not isinstance(callback_id, str):
        raise UnreadableUpdateError("callback_query.id")
    if not isinstance(message, dict):
        # Sent through an inline query, or deleted: the answer goes to the person in private.
        sender = _person(person, chat_id=user_id, private=True, thread_id=None, message_id=NO_MESSAGE)
        return Pressed(sender, callback_id, data, update_id, None)
    chat = _object(message.get("chat"), "chat")
    thread_id, shown = None, None
    if message.get("date"):  # 0: an InaccessibleMessage, of which only the chat and the id are known
        shown = data in _buttons(message.get("reply_markup"))
        thread_id = _thread(message)
    sender = _person(
        person,
        chat_id=_integer(chat, "id"),
        private=chat.get("type") == "private",
        thread_id=thread_id,
        message_id=_integer(message, "message_id"),
        chat_title=_text(chat, "title"),
    )
    return Pressed(sender, callback_id, data, update_id, shown)


def _buttons(markup: object) -> set[str]:
    """What the buttons under a message carry."""
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    cells = [cell for row in rows if isinstance(row, list) for cell in row] if isinstance(rows, list) else []
    return {
        cell["callback_data"]
        for cell in cells
        if isinstance(cell, dict) and isinstance(cell.get("callback_data"), str)
    }


def _read_membership(changed: Json) -> Membership:
    """https://core.telegram.org/bots/api#chatmember"""
    chat, member = _object(changed.get("chat"), "chat"), _object(changed.get("new_chat_member"), "member")
    until = None
    match member.get("status"):
        case "creator" | "member":
            may_write = True
        case "administrator":
            may_write = chat.get("type") != "channel" or member.get("can_post_messages") is True
        case "restricted":
            inside, ends = member.get("is_member") is not False, member.get("until_date")
            may_write = inside and member.get("can_send_messages") is True
            if inside and not may_write and type(ends) is int and ends > 0:  # 0: for ever
                until = float(ends)
        case _:  # "left", "kicked", and what a later version may add
            may_write = False
    private = chat.get("type") == "private"
    return Membership(_integer(chat, "id"), _text(chat, "title"), private, may_write, until)


def _sender(message: Json, chat: Json) -> Sender:
    # An anonymous admin or a channel writes under a made-up user: sender_chat says so.
    person = None if message.get("sender_chat") is not None else message.get("from")
    return _person(
        _object(person, "from") if person is not None else None,
        chat_id=_integer(chat, "id"),
        private=chat.get("type") == "private",
        thread_id=_thread(message),
        message_id=_integer(message, "message_id"),
        chat_title=_text(chat, "title"),
    )


def _person(
    person: Json | None,
    *,
    chat_id: int,
    private: bool,
    thread_id: int | None,
    message_id: int,
    chat_title: str = "",
) -> Sender:
    names = [] if person is None else [_text(person, "first_name"), _text(person, "last_name")]
    return Sender(
        user_id=None if person is None else _integer(person, "id"),
        user_name=" ".join(name for name in names if name),
        chat_id=chat_id,
        private=private,
        thread_id=thread_id,
        message_id=message_id,
        language_code="" if person is None else _text(person, "language_code"),
        username="" if person is None else _text(person, "username"),
        chat_title=chat_title,
    )


def _thread(message: Json) -> int | None:
    thread_id = message.get("message_thread_id")
    return thread_id if message.get("is_topic_message") is True and type(thread_id) is int else None


def _object(value: object, field: str) -> Json:
    if not isinstance(value, dict):
        raise UnreadableUpdateError(field)
    return value


def _integer(parent: Json, field: str) -> int:
    value = parent.get(field)
    if type(value) is not int:
        raise UnreadableUpdateError(field)
    return value


def _text(parent: Json, field: str) -> str:
    value = parent.get(field)
    return value if isinstance(value, str) else ""
