"""What the bot does by the clock: live messages, questions nobody has answered, counts of floods."""

from __future__ import annotations

import asyncio

from loguru import logger

from dozor.language import msg
from dozor.storage.postgres.pool import unavailable
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.live_cards import LOOK_EVERY
from dozor_bot.router import Router


class Maintenance:
    """Beside the poller; a step that fails is logged, and the next one comes all the same."""

    def __init__(self, desk: HandlerContext, router: Router) -> None:
        self._desk, self._router = desk, router

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.step()
            except Exception as error:
                if not unavailable(error):
                    raise
                logger.debug(msg("log-upkeep-waits", error=type(error).__name__))

    async def step(self) -> None:
        """Once through everything that is due."""
        await self._desk.live.refresh()
        await self._close_questions()
        await self._desk.people.keep(self._desk.pool)
        await self.write_uncounted()

    async def write_uncounted(self) -> None:
        """Audit rows of floods that are over."""
        if self._router.has_uncounted():
            async with self._desk.pool.acquire() as connection, connection.transaction():
                await self._router.write_uncounted(connection)

    async def _close_questions(self) -> None:
        for asked in self._desk.confirmations.take_expired(self._desk.clock.now()):
            if asked.message_id is not None:
                over = self._desk.in_language_of(asked.sender).say("confirm-expired")
                await self._desk.replies.change(asked.sender, asked.message_id, over)
