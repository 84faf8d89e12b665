"""One answer to a person in several forms: where a chat refuses one form, a simpler one is sent.

edit ──refused──▶ a new message
photo, file ──refused──▶ text
topic ──closed or gone──▶ the chat itself, without the reply (a reply lands in the topic it replies to)
chat ──closed to the bot──▶ the person's private chat
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from aiogram.exceptions import AiogramError, TelegramForbiddenError
from aiogram.methods.base import TelegramMethod
from aiogram.types import InputFile, InputMediaPhoto, MessageEntity

from dozor.alerting.delivery.transport import Rejected
from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded
from dozor_bot.telegram.errors import Simpler
from dozor_bot.telegram.incoming import NO_MESSAGE, Sender
from dozor_bot.telegram.methods import EditMessageMedia, EditMessageText, SendDocument, SendMessage, SendPhoto
from dozor_bot.telegram.wire import NO_PREVIEW, to_bare, to_keyboard, to_text


class Effort(Enum):
    """For how many seconds an answer is worth sending."""

    OPTIONAL = 5.0
    """An announcement or a refresh, which a later message replaces."""
    READ = 600.0
    """The answer to a command that only reads."""
    ACTION = 86_400.0
    """What came of a command that changes something: the person must learn it, as with an alert."""


@dataclass(frozen=True, slots=True)
class Photo:
    """`instead`: the message where the chat takes no photos."""

    file: InputFile
    instead: Message


@dataclass(frozen=True, slots=True)
class File:
    """`instead`: the message where the chat takes no files."""

    file: InputFile
    instead: Message


@dataclass(frozen=True, slots=True)
class AnswerNotes:
    """Lines about why an answer looks or arrives differently, in the person's language."""

    topic: str
    private: str
    duplicate: str


@dataclass(slots=True)
class Answer:
    """`in_place`: the message that it replaces, None: a new one. `until`: seconds since the epoch."""

    to: Sender
    message: Message
    effort: Effort
    until: float
    notes: AnswerNotes
    media: Photo | File | None = None
    in_place: int | None = None
    tried: set[Simpler] = field(default_factory=set)
    unknown: bool = False
    """An attempt may have arrived."""
    attempts: int = 0
    _lines: list[str] = field(default_factory=list)

    def request(self) -> TelegramMethod[Any]:
        """The call in its present form."""
        message = self._noted()
        text, entities = to_text(message)
        if Simpler.BARE in self.tried:
            text, entities = to_bare(message), []
        if Simpler.PLAIN in self.tried:
            entities = []
        markup = None if self.tried & {Simpler.NO_BUTTONS, Simpler.BARE} else to_keyboard(message.buttons)
        if self.in_place is not None:
            return self._edit(self.in_place, text, entities, markup)
        form: dict[str, Any] = {"chat_id": self.to.chat_id}
        if Simpler.NO_TOPIC not in self.tried:
            form["message_thread_id"] = self.to.thread_id
            if not self.to.private and self.to.message_id != NO_MESSAGE:
                # In a group it must be seen whom the answer is for.
                reply = {"message_id": self.to.message_id, "allow_sending_without_reply": True}
                form["reply_parameters"] = reply
        match self.media:
            case Photo(file):
                form |= {"caption": text, "caption_entities": entities or None, "reply_markup": markup}
                return SendPhoto(photo=file, **form)
            case File(file):
                return SendDocument(document=file, caption=text, caption_entities=entities or None, **form)
            case None:
                form |= {"text": text, "entities": entities or None, "reply_markup": markup}
                return SendMessage(link_preview_options=NO_PREVIEW, **form)

    def _edit(
        self, message_id: int, text: str, entities: list[dict[str, Any]], markup: dict[str, Any] | None
    ) -> TelegramMethod[Any]:
        form: dict[str, Any] = {"chat_id": self.to.chat_id, "message_id": message_id, "reply_markup": markup}
        if isinstance(self.media, Photo):
            media = InputMediaPhoto(
                media=self.media.file,
                caption=text,
                caption_entities=[MessageEntity.model_validate(entity) for entity in entities] or None,
                parse_mode=None,
            )
            return EditMessageMedia(media=media, **form)
        return EditMessageText(text=text, entities=entities or None, link_preview_options=NO_PREVIEW, **form)

    def _noted(self) -> Message:
        lines = (
            [*self._lines, self.notes.duplicate] if self.unknown and self.in_place is None else self._lines
        )
        if not lines:
            return self.message
        note = Span("\n" + "\n".join(lines), Style.ITALIC)
        return replace(self.message, spans=bounded((*self.message.spans, note), MESSAGE_UNITS))

    # -- other forms

    def simplify(self, error: AiogramError, refused: Simpler | Rejected) -> bool:
        """Take another form after this refusal; False: there is none left."""
        if self.in_place is not None and (isinstance(refused, Rejected) or not _is_about_form(refused)):
            self.in_place = None  # gone, too old, of another kind, or in a topic that is closed
            return True
        match refused:
            case Simpler.NO_TOPIC:
                if Simpler.NO_TOPIC not in self.tried and not self.to.private:
                    self.tried.add(Simpler.NO_TOPIC)
                    self._lines.append(self.notes.topic)
                    return True
                return self._go_private()
            case Rejected():
                return self._without_media(error) or self._go_private()
            case Simpler.BARE | Simpler.PLAIN | Simpler.NO_BUTTONS:
                if refused is not Simpler.BARE and refused not in self.tried:
                    self.tried.add(refused)
                    return True
                if self._without_media(error):
                    return True
                if Simpler.BARE in self.tried:
                    return False
                self.tried.add(Simpler.BARE)
                return True

    def move(self, chat_id: int) -> None:
        """The group has become `chat_id`: topics and message ids are others there."""
        self.to = replace(self.to, chat_id=chat_id, thread_id=None, message_id=NO_MESSAGE)
        self.in_place = None

    def _without_media(self, error: AiogramError) -> bool:
        """Send it as text; a chat that accepts nothing at all is not tried again."""
        if self.media is None or isinstance(error, TelegramForbiddenError):
            return False  # 403: the bot is not in the chat, or blocked
        self.message, self.media = self.media.instead, None
        self.tried -= {Simpler.PLAIN, Simpler.NO_BUTTONS, Simpler.BARE}
        return True

    def _go_private(self) -> bool:
        to = self.to
        if to.private or to.user_id is None:
            return False
        self.to = replace(to, chat_id=to.user_id, private=True, thread_id=None, message_id=NO_MESSAGE)
        self.in_place = None
        self.tried.discard(Simpler.NO_TOPIC)
        self._lines = [self.notes.private]
        return True


def _is_about_form(refused: Simpler) -> bool:
    return refused in (Simpler.PLAIN, Simpler.NO_BUTTONS)
