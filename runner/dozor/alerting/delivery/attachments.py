"""Attachments: files sent after the messages they belong to, within the same rate limits.

    pending ──attach──▶ Delivered ──────────────▶ done
                        RetryAfter, Unavailable ▶ pending, after a pause that is doubled each time
                        Unknown ────────────────▶ likewise, marked as a possible duplicate
                        Rejected, too often ────▶ given up: logged, and the text written to the console

The message is settled by then, so a failure here does not have it sent again. Pending files are in memory
only: a process that ends logs those it has not sent.
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
"""Pending files of one chat; when there are more, the oldest is given up."""


@dataclass(slots=True)
class _Pending:
    document: Document
    reply_to: int | None
    attempts: int = 0
    not_before: float = 0.0
    may_have_arrived: bool = False


class AttachmentQueue:
    """Of one destination. `state`: shared with its worker; `moved`: called when the chat becomes another."""

    def __init__(
        self,
        context: DeliveryContext,
        transport: Transport,
        state: DestinationState,
        moved: Callable[[int], Awaitable[None]],
    ) -> None:
        self._context = context
        self._transport = transport
        self._state = state
        self._moved = moved
        self._pending: list[_Pending] = []

    async def enqueue(self, message: Message, message_id: int | None) -> None:
        """`message` has arrived; its file, if it has one, is sent after it."""
        if message.document is None or not isinstance(self._transport, AttachingTransport):
            return
        self._pending.append(_Pending(message.document, message_id))
        if len(self._pending) > MOST:
            await self._give_up(self._pending[0], msg("log-too-many-files"))

    async def next(self) -> float | None:
        """Send the next file; seconds to wait before another, None: none is pending.

        Files wait for messages, as edits do.
        """
        if not self._pending:
            return None
        pending = min(self._pending, key=lambda one: one.not_before)
        wait = max(pending.not_before - self._context.clock.now(), self._state.wait_to_edit())
        if wait > 0:
            return wait
        await self._attach(pending)
        return 0.0

    def abandon(self) -> None:
        """Nothing is sent here any more: log the files that were not."""
        for pending in self._pending:
            logger.warning(msg("log-file-dropped", name=pending.document.name))
        self._pending.clear()

    async def _attach(self, pending: _Pending) -> None:
        transport = self._transport
        assert isinstance(transport, AttachingTransport)
        pending.attempts += 1
        self._state.consume()
        outcome = await outcome_of(
            transport.attach(pending.document, pending.reply_to, possible_duplicate=pending.may_have_arrived)
        )
        match outcome:
            case Delivered():
                self._pending.remove(pending)
            case Rejected(reason):
                await self._give_up(pending, reason)
            case RetryAfter(seconds):
                await self._state.throttle(seconds)  # everything to this chat waits
                await self._put_off(pending, msg("log-told-to-wait", seconds=f"{seconds:g}"), 0.0)
            case ChatMoved(chat_id):
                await self._moved(chat_id)
                pending.reply_to = None  # messages have other ids there
                await self._put_off(pending, msg("log-chat-became", chat_id=chat_id), 0.0)
            case Unavailable(reason):
                await self._put_off(pending, reason)
            case Unknown(reason):
                pending.may_have_arrived = True
                await self._put_off(pending, reason)
            case _:
                assert_never(outcome)

    async def _put_off(self, pending: _Pending, reason: str, pause: float | None = None) -> None:
        """Messages do not wait meanwhile: the cause may be the file alone."""
        if pending.attempts >= ATTEMPTS:
            await self._give_up(pending, reason)
            return
        logger.info(msg("log-file-again", name=pending.document.name, reason=reason))
        if pause is None:
            pause = min(FIRST_PAUSE * 2 ** (pending.attempts - 1), LONGEST_PAUSE)
        if pause > 0:  # else it keeps its place before the others
            pending.not_before = self._context.clock.now() + pause

    async def _give_up(self, pending: _Pending, reason: str) -> None:
        self._pending.remove(pending)
        name = pending.document.name
        logger.error(msg("log-file-undeliverable", name=name, reason=reason))
        spans = (Span(name, Style.BOLD), Span("\n" + pending.document.text))
        await self._context.console.send(Message(spans=spans))
