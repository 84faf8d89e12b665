"""Classifies Telegram's errors: each failed call becomes one of a closed set of outcomes.

Descriptions are matched by prefix, in any case, after "Bad Request: " and the like. They are no part of
the documented API; these are the ones its server is known to give (https://github.com/tdlib/telegram-bot-api).
"""

from __future__ import annotations

import re
from enum import Enum, auto

from aiogram.exceptions import (
    AiogramError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)

from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    Outcome,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.language import msg
from dozor_bot.telegram.session import (
    LONGEST_WAIT,
    SHORTEST_WAIT,
    ForeignAnswerError,
    NoAnswerError,
    NotSentError,
)


class Simpler(Enum):
    """Certainly not delivered; the same message in another form may be."""

    PLAIN = auto()
    """Without entities."""
    NO_BUTTONS = auto()
    NO_TOPIC = auto()
    """To the chat itself: the topic is closed or gone."""
    BARE = auto()
    """One short line of plain text."""


_BAD_REQUESTS: tuple[tuple[str, Simpler | type[Rejected]], ...] = (
    ("can't parse entities", Simpler.PLAIN),
    ("can't parse messageentity", Simpler.PLAIN),
    ("entity", Simpler.PLAIN),
    ("button_", Simpler.NO_BUTTONS),
    ("can't parse inline keyboard", Simpler.NO_BUTTONS),
    ("can't parse reply_markup", Simpler.NO_BUTTONS),
    ("can't parse reply keyboard", Simpler.NO_BUTTONS),
    ("inline keyboard", Simpler.NO_BUTTONS),
    ("reply markup is too long", Simpler.NO_BUTTONS),
    ("reply_markup", Simpler.NO_BUTTONS),
    ("message thread not found", Simpler.NO_TOPIC),
    ("topic_", Simpler.NO_TOPIC),
    ("message is too long", Simpler.BARE),
    ("message_too_long", Simpler.BARE),
    ("message text is empty", Simpler.BARE),
    ("text must be non-empty", Simpler.BARE),
    ("strings must be encoded in utf-8", Simpler.BARE),
    ("chat not found", Rejected),
    ("chat_id is empty", Rejected),
    ("peer_id_invalid", Rejected),
    ("user not found", Rejected),
    ("group chat was deactivated", Rejected),
    ("group chat was upgraded", Rejected),  # without migrate_to_chat_id: the new id is not known
    ("not enough rights", Rejected),
    ("have no rights", Rejected),
    ("need administrator rights", Rejected),
    ("chat_write_forbidden", Rejected),
    ("chat_send_plain_forbidden", Rejected),
    ("chat_send_docs_forbidden", Rejected),
    ("chat_restricted", Rejected),
    ("chat_admin_required", Rejected),
)
_PREFIXES = ("bad request: ", "forbidden: ", "unauthorized: ", "conflict: ", "too many requests: ")


def unauthorized() -> str:
    """The token is refused, and what to do."""
    return msg("error-unauthorized")


def description(error: BaseException) -> str:
    """Telegram's own words, without the category before them."""
    text = error.message if isinstance(error, TelegramAPIError) else type(error).__name__
    text = text.rpartition("Original description: ")[2]
    for prefix in _PREFIXES:
        if text.lower().startswith(prefix):
            return text[len(prefix) :]
    return text


def is_not_modified(error: BaseException) -> bool:
    """An edit that changes nothing is a success."""
    return isinstance(error, TelegramBadRequest) and _says(error, "message is not modified")


def is_stale_press(error: BaseException) -> bool:
    """A press too old to be answered, or never made."""
    return isinstance(error, TelegramBadRequest) and _says(error, "query is too old", "query_id_invalid")


def is_gone(error: BaseException) -> bool:
    """The message to be edited is not there any more, or may not be edited."""
    return isinstance(error, TelegramBadRequest) and _says(
        error, "message to edit not found", "message can't be edited", "message_id_invalid"
    )


def _says(error: BaseException, *prefixes: str) -> bool:
    return description(error).lower().startswith(prefixes)


def classify(error: AiogramError) -> Outcome | Simpler:
    """What became of a message whose call ended with `error`."""
    said = description(error)
    match error:
        case TelegramRetryAfter():
            return RetryAfter(float(error.retry_after))
        case TelegramMigrateToChat():
            return ChatMoved(error.migrate_to_chat_id)
        case NotSentError():
            return Unavailable(said)
        case NoAnswerError():
            return Unknown(said)
        case ForeignAnswerError():
            # 504: a server on the way gave up waiting, the call itself may have been carried out.
            doubtful = error.status < 300 or error.status == 504
            return Unknown(said) if doubtful else Unavailable(said)
        case TelegramEntityTooLarge():
            return Simpler.BARE
        case TelegramUnauthorizedError():
            return Rejected(unauthorized())
        case TelegramNotFound():
            return Rejected(msg("error-unauthorized-or-address", text=unauthorized(), said=said))
        case TelegramForbiddenError():
            return Rejected(said)
        case TelegramBadRequest():
            return _bad_request(said)
        case TelegramServerError() | TelegramConflictError():
            return Unavailable(said)
        case TelegramAPIError():
            return _other(error, said)
        case _:
            return Unknown(msg("error-unreadable-answer", error=type(error).__name__))


def _bad_request(said: str) -> Outcome | Simpler:
    lowered = said.lower()
    if lowered.startswith("message is not modified"):
        return Delivered(None)
    for prefix, verdict in _BAD_REQUESTS:
        if lowered.startswith(prefix):
            return verdict if isinstance(verdict, Simpler) else Rejected(said)
    return Simpler.BARE  # not in the table: try the simplest thing before giving an alert up


def _other(error: TelegramAPIError, said: str) -> Outcome:
    """A status aiogram has no error for; 429 without `retry_after` comes here."""
    seconds = re.match(r"retry after (\d{1,9})", said, re.IGNORECASE)
    if seconds is not None:
        return RetryAfter(min(max(float(seconds[1]), SHORTEST_WAIT), LONGEST_WAIT))
    return Unavailable(said)
