"""Answers to people. Best effort: what Telegram refuses is logged, and never fails the work that was done."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.methods import AnswerCallbackQuery
from aiogram.methods.base import TelegramMethod
from aiogram.types import InputFile, InputMediaPhoto, MessageEntity
from loguru import logger

from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.model.message import Message
from dozor.clock import Clock
from dozor.language import msg
from dozor_bot.telegram.errors import description, is_not_modified, is_stale_press
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.methods import (
    EditMessageMedia,
    EditMessageText,
    Json,
    SendChatAction,
    SendDocument,
    SendMessage,
    SendPhoto,
)
from dozor_bot.telegram.wire import NO_PREVIEW, to_keyboard, to_text

ANSWER_TIMEOUT = 5
"""Seconds for the answer to a press."""
REPLY_TIMEOUT = 15
PATIENCE = 5.0
"""Seconds of `retry_after` that an answer waits for; a longer wait is not worth it to the person."""
ATTEMPTS = 2


class PressAnswer(Enum):
    """What became of the answer to a press."""

    TAKEN = auto()
    STALE = auto()
    """The press is old: minutes or hours lie between it and now."""
    UNKNOWN = auto()


class Replies:
    """Sends and edits, within what Telegram has told us to wait; alerts leave room for what leaves here."""

    def __init__(self, bot: Bot, paces: RateLimiters, clock: Clock) -> None:
        self._bot = bot
        self._paces = paces
        self._clock = clock

    def may_refresh(self, chat_id: int) -> bool:
        """Whether the chat's pace has room for an edit that nobody has asked for."""
        return self._paces.of(chat_id).delay_for_edit(self._clock.now()) == 0

    async def send(self, to: Sender, message: Message) -> int | None:
        """A reply; the id of the message, or None if Telegram did not take it."""
        text, entities = to_text(message)
        request = SendMessage(
            chat_id=to.chat_id,
            text=text,
            entities=entities or None,
            message_thread_id=to.thread_id,
            reply_markup=to_keyboard(message.buttons),
            reply_parameters=_in_reply(to),
            link_preview_options=NO_PREVIEW,
        )
        return _id_of(await self._call(to.chat_id, request))

    async def send_file(self, to: Sender, file: InputFile, caption: Message) -> int | None:
        """A file with a few words; the id of the message, or None if Telegram did not take it."""
        text, entities = to_text(caption)
        request = SendDocument(
            chat_id=to.chat_id,
            document=file,
            caption=text,
            caption_entities=entities or None,
            message_thread_id=to.thread_id,
            reply_parameters=_in_reply(to),
        )
        return _id_of(await self._call(to.chat_id, request))

    async def show_photo(
        self, to: Sender, in_place: int | None, photo: InputFile, caption: Message
    ) -> int | None:
        """`in_place`: the message to change, a photo or a text; None: a new one. The id of the message."""
        text, entities = to_text(caption)
        markup = to_keyboard(caption.buttons)
        if in_place is not None:
            media = InputMediaPhoto(
                media=photo,
                caption=text,
                caption_entities=[MessageEntity.model_validate(entity) for entity in entities] or None,
                parse_mode=None,
            )
            change = EditMessageMedia(
                chat_id=to.chat_id, message_id=in_place, media=media, reply_markup=markup
            )
            if await self._call(to.chat_id, change) is not None:
                return in_place
        request = SendPhoto(
            chat_id=to.chat_id,
            photo=photo,
            caption=text,
            caption_entities=entities or None,
            message_thread_id=to.thread_id,
            reply_markup=markup,
            reply_parameters=_in_reply(to),
        )
        return _id_of(await self._call(to.chat_id, request))

    async def say_uploading(self, to: Sender) -> None:
        """Under the chat's name, while a picture is drawn."""
        action = SendChatAction(chat_id=to.chat_id, action="upload_photo", message_thread_id=to.thread_id)
        await self._call(to.chat_id, action)

    async def edit(self, to: Sender, message_id: int, message: Message) -> int | None:
        """In place of what stands there; a new message if that one is gone. The id of the message."""
        if await self.change(to, message_id, message):
            return message_id
        return await self.send(to, message)

    async def show(self, to: Sender, in_place: int | None, message: Message) -> int | None:
        """`in_place`: the message to change; None: a new one. The id of the message."""
        return await (self.send(to, message) if in_place is None else self.edit(to, in_place, message))

    async def change(self, to: Sender, message_id: int, message: Message) -> bool:
        """Change a message; False if Telegram did not take it."""
        text, entities = to_text(message)
        request = EditMessageText(
            chat_id=to.chat_id,
            message_id=message_id,
            text=text,
            entities=entities or None,
            reply_markup=to_keyboard(message.buttons),
            link_preview_options=NO_PREVIEW,
        )
        return await self._call(to.chat_id, request) is not None

    async def answer_press(self, callback_id: str, text: str) -> PressAnswer:
        """Ends the button's waiting sign; shows `text` for a moment."""
        method = AnswerCallbackQuery(callback_query_id=callback_id, text=text or None)
        try:
            await self._bot(method, request_timeout=ANSWER_TIMEOUT)
        except AiogramError as error:
            if is_stale_press(error):
                return PressAnswer.STALE
            logger.warning(msg("log-press-unanswered", reason=description(error)))
            return PressAnswer.UNKNOWN
        return PressAnswer.TAKEN

    async def _call(self, chat_id: int, request: TelegramMethod[Any]) -> Any:
        """The result, True for an edit that changes nothing, None if it failed."""
        pace = self._paces.of(chat_id)
        for _ in range(ATTEMPTS):
            if (wait := pace.throttled_for(self._clock.now())) > PATIENCE:
                logger.warning(msg("log-answer-given-up", seconds=f"{wait:.0f}"))
                return None
            await asyncio.sleep(wait)
            pace.consume_for_reply(self._clock.now())
            try:
                return await self._bot(request, request_timeout=REPLY_TIMEOUT)
            except TelegramRetryAfter as error:
                pace.hold(self._clock.now() + error.retry_after)
            except AiogramError as error:
                if is_not_modified(error):
                    return True
                logger.warning(msg("log-answer-refused", reason=description(error)))
                return None
        logger.warning(msg("log-answer-given-up-again"))
        return None


def _in_reply(to: Sender) -> Json | None:
    """In a group it must be seen whom the answer is for."""
    return None if to.private else {"message_id": to.message_id, "allow_sending_without_reply": True}


def _id_of(sent: Any) -> int | None:
    message_id = sent.get("message_id") if isinstance(sent, dict) else None
    return message_id if isinstance(message_id, int) else None
