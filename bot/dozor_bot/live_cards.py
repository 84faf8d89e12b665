"""Task cards that are kept up to date while they are looked at: edited within Telegram's rate limits.

A few messages of a chat are kept up to date, for some minutes, and an edit is made only where the text has
changed: edits count against the limits of a chat as messages do (about 20 a minute in a group).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from loguru import logger

from dozor.alerting.model.message import Message
from dozor.clock import Clock
from dozor.language import msg
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.replies import Replies

PRIVATE_EVERY, GROUP_EVERY = 2.0, 6.0
"""Seconds between edits of one card."""
KEPT = 300.0
"""Seconds after which a card is not updated any more."""
LOOK_EVERY = 0.5
CHAT_CARDS, ALL_CARDS = 4, 100
"""Messages kept up to date in one chat, and in all."""


@dataclass(slots=True)
class OpenCard:
    """`read` gives the message as it should be now, and whether it may change further."""

    sender: Sender
    message_id: int
    read: Callable[[], Awaitable[tuple[Message, bool]]]
    shown: Message
    until: float = 0.0


@dataclass
class LiveCards:
    """`refresh`, called often, edits; the others only record what is open."""

    replies: Replies
    clock: Clock
    _open: dict[tuple[int, int], OpenCard] = field(default_factory=dict)
    _edited_at: dict[int, float] = field(default_factory=dict)

    def keep(self, card: OpenCard) -> None:
        """From now on this message is kept up to date; the oldest one of the chat is given up for it."""
        now, chat_id = self.clock.now(), card.sender.chat_id
        card.until = now + KEPT
        self._open.pop((chat_id, card.message_id), None)
        same_chat = [key for key in self._open if key[0] == chat_id]
        for key in [*same_chat[: 1 - CHAT_CARDS], *list(self._open)[: 1 - ALL_CARDS]]:
            self._open.pop(key, None)
        self._open[chat_id, card.message_id] = card
        self._edited_at[chat_id] = now

    def close(self, chat_id: int, message_id: int) -> None:
        """The message shows something else now."""
        self._open.pop((chat_id, message_id), None)

    async def refresh(self) -> None:
        """Every card that is due, once; one of each chat."""
        now = self.clock.now()
        for chat_id in {chat_id for chat_id, _ in self._open}:
            card = next(card for key, card in self._open.items() if key[0] == chat_id)
            pause = PRIVATE_EVERY if card.sender.private else GROUP_EVERY
            if now - self._edited_at.get(chat_id, 0.0) < pause or not self.replies.may_refresh(chat_id):
                continue
            try:
                await self._refresh(card, now)
            except Exception as error:  # noqa: BLE001 -- a view only: logged, and the card is left as it is
                logger.warning(msg("log-card-dropped", error=type(error).__name__))
                self.close(chat_id, card.message_id)

    async def _refresh(self, card: OpenCard, now: float) -> None:
        key = card.sender.chat_id, card.message_id
        message, changing = await card.read()
        if self._open.get(key) is not card:
            return
        del self._open[key]
        if message != card.shown:
            self._edited_at[card.sender.chat_id] = now
            if not await self.replies.change(card.sender, card.message_id, message):
                return
        card.shown = message
        if changing and now < card.until:
            self._open[key] = card  # behind the chat's others
        elif not any(chat_id == key[0] for chat_id, _ in self._open):
            self._edited_at.pop(key[0], None)
