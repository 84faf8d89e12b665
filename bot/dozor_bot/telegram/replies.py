"""Sends answers to people: waits out rate limits, and takes simpler forms where one is refused.

An answer that has to wait for longer than a few seconds is handed over to a task of its own, so that it
holds up neither the updates behind it nor answers to other chats. Answers that wait for one chat leave in
their order. The next process sends those that a process leaves, see `dozor_bot.telegram.pending_answers`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Protocol

from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.methods import AnswerCallbackQuery
from aiogram.methods.base import TelegramMethod
from aiogram.types import InputFile
from loguru import logger

from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Message
from dozor.backoff import Backoff
from dozor.clock import Clock
from dozor.language import msg
from dozor.language.translator import Translator
from dozor_bot.telegram.answers import Answer, AnswerNotes, Effort, File, Photo
from dozor_bot.telegram.errors import Simpler, classify, description, is_gone, is_not_modified, is_stale_press
from dozor_bot.telegram.incoming import NO_MESSAGE, Sender
from dozor_bot.telegram.methods import EditMessageText, SendChatAction
from dozor_bot.telegram.pending_answers import PendingAnswers
from dozor_bot.telegram.wire import NO_PREVIEW, to_keyboard, to_text

ANSWER_TIMEOUT = 5
"""Seconds for the answer to a press."""
REPLY_TIMEOUT = 15
PATIENCE = 5.0
"""Seconds that the handler of an update waits; a longer wait is handed over."""
ATTEMPTS = 2
"""Of an optional call."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between attempts while Telegram is away: doubled from the first to the longest."""
WAITING_OF_CHAT, WAITING = 50, 500
"""Answers that wait for one chat, and for all."""


class PressAnswer(Enum):
    """What became of the answer to a press."""

    TAKEN = auto()
    STALE = auto()
    """The press is old: minutes or hours lie between it and now."""
    UNKNOWN = auto()


class ChatEvents(Protocol):
    """Learns what answers show about chats."""

    def takes_messages(self, chat_id: int) -> None:
        """A message has arrived there."""

    def moved(self, old_id: int, new_id: int) -> None:
        """The group has become another chat."""


class NoChatEvents:
    """Nobody is interested."""

    def takes_messages(self, chat_id: int) -> None:
        """Ignored."""

    def moved(self, old_id: int, new_id: int) -> None:
        """Ignored."""


NOBODY_LISTENS = NoChatEvents()


def _in_russian(to: Sender) -> Translator:
    return Translator()


class Replies:
    """Sends and edits, after the waits that Telegram asks for; alerts leave part of the rate limit to it.

    `translator_of`: the language of notes that are added to an answer.
    """

    def __init__(
        self,
        bot: Bot,
        paces: RateLimiters,
        clock: Clock,
        translator_of: Callable[[Sender], Translator] = _in_russian,
        events: ChatEvents = NOBODY_LISTENS,
        owed: PendingAnswers | None = None,
    ) -> None:
        self._owed = owed
        self._bot = bot
        self._paces = paces
        self._clock = clock
        self._translator_of = translator_of
        self._events = events
        self._waiting: dict[asyncio.Task[None], int] = {}
        # Answers that were handed over, with their chats.
        self._turns: dict[int, asyncio.Lock] = {}

    def may_refresh(self, chat_id: int) -> bool:
        """Whether the chat's rate limit allows an edit that nobody has requested."""
        return self._paces.of(chat_id).delay_for_edit(self._clock.now()) == 0

    async def send(self, to: Sender, message: Message, effort: Effort = Effort.READ) -> int | None:
        """A reply; the id of the message, None if it has not arrived in the sender's chat (yet)."""
        return await self._deliver(self._answer(to, message, effort))

    async def send_file(self, to: Sender, file: InputFile, caption: Message, instead: Message) -> int | None:
        """A file with a few words; `instead`: the message where the chat takes no files."""
        return await self._deliver(self._answer(to, caption, Effort.READ, File(file, instead)))

    async def show_photo(
        self, to: Sender, in_place: int | None, photo: InputFile, caption: Message, instead: Message
    ) -> int | None:
        """`in_place`: the message to change, a photo or a text; None: a new one. The id of the message.

        `instead`: the message where the chat takes no photos.
        """
        return await self._deliver(
            self._answer(to, caption, Effort.READ, Photo(photo, instead), in_place=in_place)
        )

    async def say_uploading(self, to: Sender) -> None:
        """Under the chat's name, while a picture is drawn."""
        action = SendChatAction(chat_id=to.chat_id, action="upload_photo", message_thread_id=to.thread_id)
        await self._call_once(to.chat_id, action)

    async def show(
        self, to: Sender, in_place: int | None, message: Message, effort: Effort = Effort.READ
    ) -> int | None:
        """`in_place`: the message to change, or a new one if it is gone. The id of the message."""
        return await self._deliver(self._answer(to, message, effort, in_place=in_place))

    async def change(self, to: Sender, message_id: int, message: Message) -> bool:
        """Change a message that nobody waits for; False if Telegram did not take it."""
        text, entities = to_text(message)
        request = EditMessageText(
            chat_id=to.chat_id,
            message_id=message_id,
            text=text,
            entities=entities or None,
            reply_markup=to_keyboard(message.buttons),
            link_preview_options=NO_PREVIEW,
        )
        return await self._call_once(to.chat_id, request)

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

    async def close(self) -> None:
        """End what waits. Before the connection is closed."""
        if self._waiting:
            logger.warning(msg("log-answers-left", count=len(self._waiting)))
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    # -- delivery

    def _answer(
        self,
        to: Sender,
        message: Message,
        effort: Effort,
        media: Photo | File | None = None,
        *,
        in_place: int | None = None,
    ) -> Answer:
        text = self._translator_of(to).format
        chat = (
            text("answer-in-private", chat=to.chat_title)
            if to.chat_title
            else text("answer-in-private-group")
        )
        notes = AnswerNotes(
            topic=text("answer-topic-closed"), private=chat, duplicate=text("alert-duplicate")
        )
        place = None if in_place == NO_MESSAGE else in_place
        until = self._clock.now() + effort.value
        doubtful = self._owed is not None and self._owed.may_have_arrived(to.update_id)
        return Answer(to, message, effort, until, notes, media=media, in_place=place, unknown=doubtful)

    async def _deliver(self, answer: Answer) -> int | None:
        """The id of the message in the sender's chat; None if it arrived elsewhere, later, or not at all."""
        asked_in, left = answer.to.chat_id, PATIENCE
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            wait = self._paces.of(answer.to.chat_id).throttled_for(self._clock.now())
            if wait > left:
                self._hand_over(answer, wait)
                return None
            await self._record_refusal(answer)
            await asyncio.sleep(wait)
            left -= wait
            match await self._attempt(answer):
                case int(message_id):
                    here = answer.to.chat_id == asked_in and message_id != NO_MESSAGE
                    return message_id if here else None
                case _Next.GIVEN_UP:
                    return None
                case _Next.LATER if answer.effort is Effort.OPTIONAL and answer.attempts >= ATTEMPTS:
                    return None
                case _Next.LATER if backoff.upcoming > left:
                    self._hand_over(answer, backoff.upcoming)
                    return None
                case _Next.LATER:
                    left -= backoff.upcoming
                    await asyncio.sleep(backoff.next())
                case _Next.NOW:
                    continue

    def _hand_over(self, answer: Answer, wait: float) -> None:
        """Continue in the background, if the answer still matters and the queue is not full."""
        by_chat = Counter(self._waiting.values())
        crowded = by_chat[answer.to.chat_id] >= WAITING_OF_CHAT or len(self._waiting) >= WAITING
        if answer.effort is Effort.OPTIONAL or crowded or self._clock.now() + wait > answer.until:
            logger.warning(msg("log-answer-given-up", seconds=f"{wait:.0f}"))
            return
        logger.info(msg("log-answer-waits", seconds=f"{wait:.0f}"))
        later = self._deliver_later(answer, self._clock.now() + wait)
        task = asyncio.create_task(later, name="telegram answer that waits")
        self._waiting[task] = answer.to.chat_id
        if self._owed is not None:
            self._owed.handed_over(answer.to.update_id)
        task.add_done_callback(lambda done: self._waiting.pop(done, None))

    async def _deliver_later(self, answer: Answer, not_before: float) -> None:
        await self._in_turn(answer, not_before)
        if self._owed is not None:
            await self._owed.delivered_later(answer.to.update_id)

    async def _in_turn(self, answer: Answer, not_before: float) -> None:
        """In turn with the others of the chat. `not_before`: seconds since the epoch."""
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        async with self._turns.setdefault(answer.to.chat_id, asyncio.Lock()):
            wait = max(0.0, not_before - self._clock.now())
            while self._clock.now() + wait <= answer.until:
                await self._record_refusal(answer)
                await asyncio.sleep(wait)
                match await self._attempt(answer):
                    case int() | _Next.GIVEN_UP:
                        return
                    case _Next.LATER:
                        wait = backoff.next()
                    case _Next.NOW:
                        wait = 0.0
                wait = max(wait, self._paces.of(answer.to.chat_id).throttled_for(self._clock.now()))
        logger.warning(msg("log-answer-given-up", seconds=f"{wait:.0f}"))

    async def _record_refusal(self, answer: Answer) -> None:
        """That it has not arrived by its last attempt, if there was one and that is known.

        Once the answer has its place in the queue of its chat: one that is refused later stays behind it.
        """
        if self._owed is not None and answer.attempts and not answer.unknown:
            await self._owed.refused(answer.to.update_id)

    async def _attempt(self, answer: Answer) -> int | _Next:
        """One call. The id of the message, or what to do next."""
        request, chat_id = answer.request(), answer.to.chat_id
        self._paces.of(chat_id).consume_for_reply(self._clock.now())
        answer.attempts += 1
        if self._owed is not None and answer.effort is not Effort.OPTIONAL:
            await self._owed.attempt(answer.to.update_id)
        try:
            sent = await self._bot(request, request_timeout=REPLY_TIMEOUT)
        except AiogramError as error:
            return self._refused(answer, error)
        self._events.takes_messages(chat_id)
        message_id = sent.get("message_id") if isinstance(sent, dict) else None
        return message_id if isinstance(message_id, int) else answer.in_place or NO_MESSAGE

    def _refused(self, answer: Answer, error: AiogramError) -> int | _Next:
        if answer.in_place is not None and is_not_modified(error):
            return answer.in_place
        outcome = Simpler.BARE if is_gone(error) else classify(error)
        match outcome:
            case RetryAfter(seconds):
                self._paces.of(answer.to.chat_id).hold(self._clock.now() + seconds)
                return _Next.NOW
            case ChatMoved(chat_id):
                self._events.moved(answer.to.chat_id, chat_id)
                answer.move(chat_id)
                return _Next.NOW
            case Unavailable(reason):
                logger.warning(msg("log-answer-refused", reason=reason))
                return _Next.LATER
            case Unknown(reason):
                logger.warning(msg("log-answer-refused", reason=reason))
                answer.unknown = True
                return _Next.LATER
            case Delivered():
                return answer.in_place or NO_MESSAGE
            case Simpler() | Rejected():
                logger.warning(msg("log-answer-refused", reason=description(error)))
                return _Next.NOW if answer.simplify(error, outcome) else _Next.GIVEN_UP

    async def _call_once(self, chat_id: int, request: TelegramMethod[Any]) -> bool:
        """A call that nobody waits for; whether Telegram took it."""
        pace = self._paces.of(chat_id)
        for _ in range(ATTEMPTS):
            if (wait := pace.throttled_for(self._clock.now())) > PATIENCE:
                return False
            await asyncio.sleep(wait)
            pace.consume_for_reply(self._clock.now())
            try:
                await self._bot(request, request_timeout=REPLY_TIMEOUT)
            except AiogramError as error:
                if is_not_modified(error):
                    return True
                outcome = classify(error)
                if not isinstance(outcome, RetryAfter):
                    logger.warning(msg("log-answer-refused", reason=description(error)))
                    return False
                pace.hold(self._clock.now() + outcome.seconds)
            else:
                return True
        return False


class _Next(Enum):
    """After an attempt that did not arrive."""

    NOW = auto()
    """Another one, in another form or as soon as the chat's hold ends."""
    LATER = auto()
    """Telegram is away."""
    GIVEN_UP = auto()
    """Refused in every form."""
