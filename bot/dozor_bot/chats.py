"""What updates and answers show about chats: whether they accept messages, and whether they have migrated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dozor.clock import Clock
from dozor_bot.telegram.incoming import Membership

HEARD_AGAIN = 30.0
"""Seconds after which another message of a busy chat ends a hold again."""
REMEMBERED = 1000
AFTER_RESTRICTION = 1.0
"""Seconds after the end of a restriction at which the chat is tried."""

Reopen = Callable[[int], Awaitable[None]]
"""Ends at once the pause of messages to a chat that has refused them; nothing if it has not."""


async def nothing_is_held(chat_id: int) -> None:
    """Nobody delivers alerts."""


class Chats:
    """`configured`: the chat of alerts, which may become another one. `settle`, called often, acts."""

    def __init__(self, clock: Clock, configured: int | None, reopen: Reopen = nothing_is_held) -> None:
        self._clock = clock
        self._configured = configured
        self._reopen = reopen
        self._moved: dict[int, int] = {}
        self._open: set[int] = set()
        # Chats that take messages again, as far as can be seen.
        self._heard: dict[int, float] = {}
        self._restricted: dict[int, float] = {}
        # Chats where the bot may not write until then; Telegram reports no end of a restriction.
        self._without_menu: set[int] = set()
        self.menus_due = False
        """A chat has become reachable or another one: its menus are to be set."""

    @property
    def of_alerts(self) -> int | None:
        """The id of the chat of the configuration now."""
        return None if self._configured is None else self.current(self._configured)

    def current(self, chat_id: int) -> int:
        """What a group has become."""
        for _ in range(len(self._moved)):
            if chat_id not in self._moved:
                break
            chat_id = self._moved[chat_id]
        return chat_id

    def is_of_alerts(self, chat_id: int) -> bool:
        """Whether it is the chat of the configuration, by its old id or its new one."""
        return chat_id in (self._configured, self.of_alerts)

    def takes_messages(self, chat_id: int) -> None:
        """An answer has arrived there."""
        self._open.add(chat_id)

    def moved(self, old_id: int, new_id: int) -> None:
        """The group has become a supergroup with another id."""
        if old_id == new_id or self._moved.get(old_id) == new_id:
            return
        self._moved.pop(new_id, None)
        self._moved[old_id] = new_id
        self.menus_due = True

    def heard_in(self, chat_id: int) -> None:
        """A message was written there, so the bot is in the chat."""
        now = self._clock.now()
        if now - self._heard.get(chat_id, float("-inf")) < HEARD_AGAIN:
            return
        if len(self._heard) >= REMEMBERED:
            self._heard.clear()
        self._heard[chat_id] = now
        self._open.add(chat_id)

    def missing_menu(self, chat_id: int) -> None:
        """Telegram refuses a menu there: the person has never written to the bot, or the chat is gone."""
        self._without_menu.add(chat_id)

    def person_wrote(self, chat_id: int) -> None:
        """To the bot in private, so that a menu can be set there."""
        if chat_id in self._without_menu:
            self._without_menu.discard(chat_id)
            self.menus_due = True

    async def changed(self, member: Membership) -> None:
        """The bot was let in, thrown out, blocked, unblocked, restricted."""
        self._restricted.pop(member.chat_id, None)
        if member.until is not None and len(self._restricted) < REMEMBERED:
            self._restricted[member.chat_id] = member.until + AFTER_RESTRICTION
        if member.may_write:
            self.menus_due = True
            await self._reopen(member.chat_id)

    async def settle(self) -> None:
        """End the pauses of chats that take messages again."""
        now = self._clock.now()
        for chat_id in [chat_id for chat_id, until in self._restricted.items() if now >= until]:
            del self._restricted[chat_id]
            self._open.add(chat_id)
        while self._open:
            chat_id = self._open.pop()
            await self._reopen(chat_id)
