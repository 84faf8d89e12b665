"""Methods whose answers are returned as plain data: a changed schema of Telegram loses no answer.

aiogram turns answers into models of every field. A field of a new kind would then fail the answer to an
alert that has arrived, and it would be sent again without end; or fail a
whole batch of updates, and the bot would receive nothing.
"""

from __future__ import annotations

from typing import Any

from aiogram.methods import TelegramMethod
from aiogram.types import InputFile, InputMediaPhoto

Json = dict[str, Any]


class GetUpdates(TelegramMethod[list[Json]]):
    """https://core.telegram.org/bots/api#getupdates"""

    __returning__ = list[Json]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class GetWebhookInfo(TelegramMethod[Json]):
    """https://core.telegram.org/bots/api#getwebhookinfo"""

    __returning__ = Json
    __api_method__ = "getWebhookInfo"


class GetChatTitle(TelegramMethod[Json]):
    """https://core.telegram.org/bots/api#getchat"""

    __returning__ = Json
    __api_method__ = "getChat"

    chat_id: int


class SendMessage(TelegramMethod[Json]):
    """https://core.telegram.org/bots/api#sendmessage"""

    __returning__ = Json
    __api_method__ = "sendMessage"

    chat_id: int
    text: str
    message_thread_id: int | None = None
    entities: list[Json] | None = None
    reply_markup: Json | None = None
    reply_parameters: Json | None = None
    link_preview_options: Json | None = None
    disable_notification: bool | None = None


class SendDocument(TelegramMethod[Json]):
    """https://core.telegram.org/bots/api#senddocument"""

    __returning__ = Json
    __api_method__ = "sendDocument"

    chat_id: int
    document: InputFile
    message_thread_id: int | None = None
    caption: str | None = None
    caption_entities: list[Json] | None = None
    reply_parameters: Json | None = None
    disable_notification: bool | None = None


class SendPhoto(TelegramMethod[Json]):
    """https://core.telegram.org/bots/api#sendphoto"""

    __returning__ = Json
    __api_method__ = "sendPhoto"

    chat_id: int
    photo: InputFile
    message_thread_id: int | None = None
    caption: str | None = None
    caption_entities: list[Json] | None = None
    reply_markup: Json | None = None
    reply_parameters: Json | None = None


class EditMessageMedia(TelegramMethod[Json | bool]):
    """https://core.telegram.org/bots/api#editmessagemedia: a photo in place of another, or of a text."""

    __returning__ = Json | bool
    __api_method__ = "editMessageMedia"

    chat_id: int
    message_id: int
    media: InputMediaPhoto
    reply_markup: Json | None = None


class SendChatAction(TelegramMethod[bool]):
    """https://core.telegram.org/bots/api#sendchataction"""

    __returning__ = bool
    __api_method__ = "sendChatAction"

    chat_id: int
    action: str
    message_thread_id: int | None = None


class EditMessageText(TelegramMethod[Json | bool]):
    """https://core.telegram.org/bots/api#editmessagetext"""

    __returning__ = Json | bool
    __api_method__ = "editMessageText"

    chat_id: int
    message_id: int
    text: str
    entities: list[Json] | None = None
    reply_markup: Json | None = None
    link_preview_options: Json | None = None
