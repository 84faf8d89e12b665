"""Telegram as a transport of alerts: one chat, or one topic of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.methods import TelegramMethod
from aiogram.types import BufferedInputFile
from loguru import logger

from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditOutcome,
    Gone,
    Outcome,
    Place,
    Rejected,
)
from dozor.alerting.model.message import Document, Message, Span, Style
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded
from dozor.language import msg
from dozor.language.translator import Translator
from dozor_bot.telegram.errors import Simpler, classify, description, is_gone
from dozor_bot.telegram.methods import EditMessageText, SendDocument, SendMessage
from dozor_bot.telegram.wire import NO_PREVIEW, to_bare, to_keyboard, to_text

Request = SendMessage | SendDocument | EditMessageText

SEND_TIMEOUT = 15
"""Seconds."""


class TelegramTransport:
    """Sends to `chat_id`, or to its topic `thread_id`. After `ChatMoved` it sends to the new chat."""

    def __init__(
        self,
        bot: Bot,
        chat_id: int,
        thread_id: int | None,
        translator: Translator,
        *,
        buttons: bool = True,
    ) -> None:
        self._bot = bot
        self.buttons = buttons
        """Whether this process answers presses."""
        self._chat_id = chat_id
        self._thread_id = thread_id
        self._translator = translator
        self.topic_lost = False
        """Its topic is closed or gone: messages go to the chat itself, with a note."""

    @property
    def name(self) -> str:
        return "telegram"

    @property
    def chat_id(self) -> int:
        """Where it sends now."""
        return self._chat_id

    @property
    def place(self) -> Place:
        """What the ids of its messages belong to."""
        return Place(self._chat_id, self._thread_id or 0, self._bot.id)

    def move(self, chat_id: int) -> None:
        """The chat has become `chat_id`."""
        self._chat_id = chat_id

    async def send(self, message: Message) -> Outcome:
        """As written; refused for its form, in ever simpler ones: an alert is never lost to its looks."""
        return await self._somewhere(
            message.reply_to, lambda reply_to, tried: self._request(message, reply_to, tried)
        )

    async def edit(self, message: Message, message_id: int) -> EditOutcome:
        """Without a sound; in ever simpler forms as well."""
        outcome = await self._in_some_form(
            lambda tried: self._edit_request(message, message_id, tried), set()
        )
        return Gone(msg("log-topics-closed")) if isinstance(outcome, Simpler) else outcome

    async def attach(self, document: Document, reply_to: int | None, *, possible_duplicate: bool) -> Outcome:
        """As a file, without a sound, in reply to the message it belongs to."""
        caption = self._translator.format("alert-duplicate") if possible_duplicate else None
        return await self._somewhere(
            reply_to, lambda reply_to, tried: self._document_request(document, reply_to, caption, tried)
        )

    async def _somewhere(
        self, reply_to: int | None, request: Callable[[int | None, set[Simpler]], Request]
    ) -> Outcome:
        """Into its topic, or else into the chat itself (General) with a note.

        A reply lands in the topic of the message it replies to, so it is tried in its topic without the reply
        as well, and is never sent to General as one: that topic may be closed. General is judged by its own
        answer; the answer of a closed General does not concern the topic.
        """
        attempts = [*((reply_to, False),) * (reply_to is not None), (None, False)]
        if self._thread_id is not None:
            general = (None, True)
            # Lost some time ago: one refused call each would be spent on it.
            attempts = [general, *attempts] if self.topic_lost else [*attempts, general]
        for reply, to_general in attempts:
            outcome = await self._in_some_form(
                lambda tried, reply=reply: request(reply, tried),  # type: ignore[misc]
                {Simpler.NO_TOPIC} if to_general else set(),
            )
            if isinstance(outcome, Simpler):  # NO_TOPIC: the others are used up inside
                continue
            assert not isinstance(outcome, Gone)
            if isinstance(outcome, Delivered) and self._thread_id is not None:
                self._found(lost=to_general)
            return outcome
        return Rejected(msg("log-topics-closed"))

    def _found(self, *, lost: bool) -> None:
        if lost and not self.topic_lost:
            logger.warning(msg("log-topic-gone", topic=self._thread_id))
        self.topic_lost = lost

    async def _in_some_form(
        self, request: Callable[[set[Simpler]], Request], tried: set[Simpler]
    ) -> EditOutcome | Simpler:
        """Refused for its form, in ever simpler ones; `Simpler.NO_TOPIC`: the topic refuses it."""
        while True:
            answer = await self._attempt(request(tried))
            if not isinstance(answer, Simpler) or answer is Simpler.NO_TOPIC:
                return answer
            step = Simpler.BARE if answer in tried else answer
            if step in tried:
                return Rejected(msg("log-refused-every-form", outcome=answer.name.lower()), of_message=True)
            tried.add(step)

    async def _attempt(self, request: Request) -> EditOutcome | Simpler:
        method: TelegramMethod[Any] = request
        try:
            sent = await self._bot(method, request_timeout=SEND_TIMEOUT)
        except AiogramError as error:
            if isinstance(request, EditMessageText) and is_gone(error):
                return Gone(description(error))
            outcome = classify(error)
            if isinstance(outcome, Simpler):
                logger.warning(msg("log-message-refused", reason=description(error)))
            elif isinstance(outcome, ChatMoved):
                logger.warning(
                    msg("log-became-supergroup", old=self._chat_id, new=outcome.chat_id),
                )
                self._chat_id = outcome.chat_id
            return outcome
        message_id = sent.get("message_id") if isinstance(sent, dict) else None
        return Delivered(message_id if isinstance(message_id, int) else None)

    def _request(self, message: Message, reply_to: int | None, tried: set[Simpler]) -> SendMessage:
        form: dict[str, Any] = {}
        if message.document is not None and message.document.note:
            line = Span("\n" + message.document.note, Style.ITALIC)
            message = replace(message, spans=bounded((*message.spans, line), MESSAGE_UNITS))
        if Simpler.NO_TOPIC in tried:
            note = Span("\n" + self._translator.format("topic-note"), Style.ITALIC)
            message = replace(message, spans=bounded((*message.spans, note), MESSAGE_UNITS))
        elif self._thread_id is not None:
            form["message_thread_id"] = self._thread_id
        if reply_to is not None:
            form["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
        if Simpler.BARE in tried:
            return SendMessage(chat_id=self._chat_id, text=to_bare(message), **form)
        form["text"], entities = to_text(message)
        if entities and Simpler.PLAIN not in tried:
            form["entities"] = entities
        keyboard = to_keyboard(message.buttons) if self.buttons else None
        if keyboard is not None and Simpler.NO_BUTTONS not in tried:
            form["reply_markup"] = keyboard
        if message.silent:
            form["disable_notification"] = True
        return SendMessage(chat_id=self._chat_id, link_preview_options=NO_PREVIEW, **form)

    def _document_request(
        self, document: Document, reply_to: int | None, caption: str | None, tried: set[Simpler]
    ) -> SendDocument:
        form: dict[str, Any] = {}
        if self._thread_id is not None and Simpler.NO_TOPIC not in tried:
            form["message_thread_id"] = self._thread_id
        if reply_to is not None:
            form["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
        if caption is not None and Simpler.BARE not in tried:
            form["caption"] = caption
        file = BufferedInputFile(document.text.encode("utf-8", "replace"), document.name)
        return SendDocument(chat_id=self._chat_id, document=file, disable_notification=True, **form)

    def _edit_request(self, message: Message, message_id: int, tried: set[Simpler]) -> EditMessageText:
        form: dict[str, Any] = {"chat_id": self._chat_id, "message_id": message_id}
        if Simpler.BARE in tried:
            return EditMessageText(text=to_bare(message), **form)
        form["text"], entities = to_text(message)
        if entities and Simpler.PLAIN not in tried:
            form["entities"] = entities
        keyboard = to_keyboard(message.buttons) if self.buttons else None
        if keyboard is not None and Simpler.NO_BUTTONS not in tried:
            form["reply_markup"] = keyboard
        return EditMessageText(link_preview_options=NO_PREVIEW, **form)
