"""Files under messages that have arrived: best effort, never at the cost of a message, and honest.

    owed ──attach──▶ Delivered ──────────────▶ done
                     RetryAfter, Unavailable ▶ owed, later, longer each time
                     Unknown ────────────────▶ likewise, marked as a possible duplicate
                     Rejected, too often ────▶ given up: logged, and the whole text goes to the console

The message is settled by then, so nothing here can have it sent again. What is owed is in memory: a process
that ends says which files it still owed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from loguru import logger

from dozor.alerting.delivery.context import DeliveryContext, outcome_of
from dozor.alerting.delivery.destination import DestinationState
from dozor.alerting.delivery.transport import (
    AttachingTransport,
    ChatMoved,
    Delivered,
    Rejected,
    RetryAfter,
    Transport,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Document, Message, Span, Style
from dozor.language import msg

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 600.0
"""Seconds between attempts, doubled from the first to the longest: about an hour of them in all."""
ATTEMPTS = 12
MOST = 20
"""Files owed at once to one chat; the oldest of more is given up."""


@dataclass(slots=True)
class _Pending:
    document: Document
    reply_to: int | None
    attempts: int = 0
    not_before: float = 0.0
    may_have_arrived: bool = False


class AttachmentQueue:
    """Those of one destination. `contact`: shared with the lane; `moved`: the chat has become another."""

    def __init__(
        self,
        room: DeliveryContext,
        transport: Transport,
        contact: DestinationState,
        moved: Callable[[int], Awaitable[None]],
    ) -> None:
        self._room = room
        self._transport = transport
        self._contact = contact
        self._moved = moved
        self._owed: list[_Pending] = []

    async def enqueue(self, message: Message, message_id: int | None) -> None:
        """`message` has arrived; its file, if it has one, is to follow it."""
        if message.document is None or not isinstance(self._transport, AttachingTransport):
            return
        self._owed.append(_Pending(message.document, message_id))
        if len(self._owed) > MOST:
            await self._give_up(self._owed[0], msg("log-too-many-files"))

    async def next(self) -> float | None:
        """Send the file whose turn it is; seconds to wait before another, None: none is owed.

        Files leave room for messages, as edits do.
        """
        if not self._owed:
            return None
        owed = min(self._owed, key=lambda one: one.not_before)
        wait = max(owed.not_before - self._room.clock.now(), self._contact.wait_to_edit())
        if wait > 0:
            return wait
        await self._attach(owed)
        return 0.0

    def abandon(self) -> None:
        """Nothing is sent here any more: say which files have not been."""
        for owed in self._owed:
            logger.warning(msg("log-file-dropped", name=owed.document.name))
        self._owed.clear()

    async def _attach(self, owed: _Pending) -> None:
        transport = self._transport
        assert isinstance(transport, AttachingTransport)
        owed.attempts += 1
        self._contact.consume()
        outcome = await outcome_of(
            transport.attach(owed.document, owed.reply_to, possible_duplicate=owed.may_have_arrived)
        )
        match outcome:
            case Delivered():
                self._owed.remove(owed)
            case Rejected(reason):
                await self._give_up(owed, reason)
            case RetryAfter(seconds):
                await self._contact.throttle(seconds)  # everything to this chat waits
                await self._put_off(owed, msg("log-told-to-wait", seconds=f"{seconds:g}"), 0.0)
            case ChatMoved(chat_id):
                await self._moved(chat_id)
                owed.reply_to = None  # messages have other ids there
                await self._put_off(owed, msg("log-chat-became", chat_id=chat_id), 0.0)
            case Unavailable(reason):
                await self._put_off(owed, reason)
            case Unknown(reason):
                owed.may_have_arrived = True
                await self._put_off(owed, reason)
            case _:
                assert_never(outcome)

    async def _put_off(self, owed: _Pending, reason: str, pause: float | None = None) -> None:
        """Messages go on meanwhile: the file alone may be the trouble."""
        if owed.attempts >= ATTEMPTS:
            await self._give_up(owed, reason)
            return
        logger.info(msg("log-file-again", name=owed.document.name, reason=reason))
        if pause is None:
            pause = min(FIRST_PAUSE * 2 ** (owed.attempts - 1), LONGEST_PAUSE)
        if pause > 0:  # else it keeps its place before the others
            owed.not_before = self._room.clock.now() + pause

    async def _give_up(self, owed: _Pending, reason: str) -> None:
        self._owed.remove(owed)
        name = owed.document.name
        logger.error(msg("log-file-undeliverable", name=name, reason=reason))
        spans = (Span(name, Style.BOLD), Span("\n" + owed.document.text))
        await self._room.console.send(Message(spans=spans))
