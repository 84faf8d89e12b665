"""The bot's periodic work: live messages, expired confirmations, counts of refused requests."""

from __future__ import annotations

import asyncio

from aiogram import Bot
from aiogram.exceptions import AiogramError
from loguru import logger

from dozor.language import msg
from dozor.storage.postgres.pool import unavailable
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.live_cards import LOOK_EVERY
from dozor_bot.menus import Menus
from dozor_bot.poller import CALL_TIMEOUT
from dozor_bot.router import Router
from dozor_bot.telegram.errors import description
from dozor_bot.telegram.methods import GetChatTitle

MENUS_AGAIN = 60.0
"""Seconds after which menus that Telegram did not take are set again."""


class Maintenance:
    """Beside the poller; a step that fails is logged, and the next one comes all the same."""

    def __init__(self, context: HandlerContext, router: Router, menus: Menus, bot: Bot) -> None:
        self._context, self._router, self._menus, self._bot = context, router, menus, bot
        self._asked_title_of: int | None = None
        self._menus_again_at = float("-inf")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.step()
            except Exception as error:
                if not unavailable(error):
                    raise
                logger.debug(msg("log-upkeep-waits", error=type(error).__name__))

    async def read_names(self) -> None:
        """What the previous process has written. Without the database it is read later, by `step`."""
        try:
            await self._context.people.keep(self._context.pool)
        except Exception as error:
            if not unavailable(error):
                raise
            logger.debug(msg("log-upkeep-waits", error=type(error).__name__))

    async def step(self) -> None:
        """Once through everything that is due."""
        await self._context.chats.settle()
        await self._set_menus()
        await self._context.live.refresh()
        await self._close_questions()
        await self._context.people.keep(self._context.pool)
        await self._learn_title()
        await self.write_uncounted()

    async def _set_menus(self) -> None:
        """Where a chat has become reachable or another one; those that Telegram refuses, after a pause."""
        chats, now = self._context.chats, self._context.clock.now()
        if not chats.menus_due or now < self._menus_again_at:
            return
        chats.menus_due = False
        if not await self._menus.set_all():
            chats.menus_due, self._menus_again_at = True, now + MENUS_AGAIN

    async def _learn_title(self) -> None:
        """Of the chat of alerts, once: it is called by its name where nobody has written there yet."""
        chat_id = self._context.chats.of_alerts
        if chat_id is None or chat_id == self._asked_title_of or chat_id > 0:
            return
        self._asked_title_of = chat_id
        try:
            chat = await self._bot(GetChatTitle(chat_id=chat_id), request_timeout=CALL_TIMEOUT)
        except AiogramError as error:
            logger.debug(msg("log-no-chat-title", reason=description(error)))
            return
        if isinstance(title := chat.get("title"), str):
            self._context.people.remember_chat(chat_id, title)

    async def write_uncounted(self) -> None:
        """Audit rows of floods that are over."""
        if self._router.has_uncounted():
            async with self._context.pool.acquire() as connection, connection.transaction():
                await self._router.write_uncounted(connection)

    async def _close_questions(self) -> None:
        for asked in self._context.confirmations.take_expired(self._context.clock.now()):
            if asked.message_id is not None:
                over = self._context.in_language_of(asked.sender).say("confirm-expired")
                await self._context.replies.change(asked.sender, asked.message_id, over)
