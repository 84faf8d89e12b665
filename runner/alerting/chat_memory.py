"""What is learnt of a chat while delivering: written down, for the next start to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from runner.storage.destinations import DestinationRow

Write = Callable[[DestinationRow], Awaitable[None]]


class ChatMemory:
    """`write` puts it into the database, for as long as that takes."""

    def __init__(self, known: DestinationRow, write: Write) -> None:
        self._known = known
        self._write = write

    @property
    def refused(self) -> str | None:
        """Why the chat refuses us, None while it does not."""
        return self._known.dead_reason

    async def dead(self, reason: str, now: float) -> None:
        """It refuses us, since `now` (seconds since the epoch)."""
        await self._remember(replace(self._known, dead_since=now, dead_reason=reason[:500]))

    async def well(self) -> bool:
        """It takes messages; whether it had refused them before."""
        if self._known.dead_since is None and self._known.dead_reason is None:
            return False
        await self._remember(replace(self._known, dead_since=None, dead_reason=None))
        return True

    async def moved(self, chat_id: int) -> None:
        """It has become another chat."""
        await self._remember(replace(self._known, moved_to=chat_id))

    async def held(self, until: float) -> None:
        """Nothing may be sent there before `until` (seconds since the epoch)."""
        await self._remember(replace(self._known, held_until=until))

    async def _remember(self, row: DestinationRow) -> None:
        self._known = row
        await self._write(row)
