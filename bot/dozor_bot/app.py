"""Builds the bot. Importing this module loads aiogram, which takes a second: supervision runs before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import tzinfo

from aiogram import Bot
from aiogram.utils.token import TokenValidationError
from loguru import logger

from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.policy.oncall import OnCall
from dozor.clock import Clock
from dozor.config.sections.config import LanguageChoice, TelegramConfig
from dozor.control.commands.actor import Source
from dozor.errors import TokenRefusedError
from dozor.language import msg
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool, unavailable
from dozor_bot.chats import Chats, Reopen, nothing_is_held
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.live_cards import LiveCards
from dozor_bot.maintenance import Maintenance
from dozor_bot.menus import Menus
from dozor_bot.people import People, language_of
from dozor_bot.poller import GRACE, Poller
from dozor_bot.router import Router
from dozor_bot.security.access import Access
from dozor_bot.security.totp import TotpGuard
from dozor_bot.telegram.errors import unauthorized
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.pending_answers import PendingAnswers
from dozor_bot.telegram.replies import Replies
from dozor_bot.telegram.server_time import ServerTime
from dozor_bot.telegram.session import Session, always
from dozor_bot.telegram.transport import TelegramTransport
from dozor_bot.views.actions import BY_COMMAND

NOBODY = OnCall()
"""No rotation."""


class TelegramBot:
    """`transport` carries alerts (None: no chat is configured), `run()` takes commands."""

    def __init__(
        self,
        bot: Bot,
        poller: Poller,
        upkeep: Maintenance,
        replies: Replies,
        transport: TelegramTransport | None,
        translator: Translator,
        menus: Menus,
        access: Access,
        people: People,
    ) -> None:
        self._access = access
        self._setting_menus: asyncio.Task[None] | None = None
        self._bot = bot
        self._menus = menus
        self._translator = translator
        self._menu_is_set = False
        self._upkeep = upkeep
        self._replies = replies
        self.poller = poller
        self.transport = transport
        self.people = people

    async def run(self) -> None:
        """Take commands until cancelled. Raises TelegramError for what needs a person."""
        await self._upkeep.read_names()  # the first answer calls people by name
        upkeep = asyncio.create_task(self._upkeep.run(), name="telegram upkeep")
        polling = asyncio.create_task(self.poller.run(), name="telegram poller")
        try:
            done, _ = await asyncio.wait({upkeep, polling}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in (upkeep, polling):
                task.cancel()
            await asyncio.gather(upkeep, polling, return_exceptions=True)

    def transport_to(self, chat_id: int, thread_id: int | None = None) -> TelegramTransport:
        """Messages to another chat, topic or person."""
        buttons = self.transport is None or self.transport.buttons
        return TelegramTransport(self._bot, chat_id, thread_id, self._translator, buttons=buttons)

    async def set_my_commands(self) -> None:
        """The menus of commands, where they differ from what was set before. A failure is only logged."""
        if self._menu_is_set:
            return
        try:
            self._menu_is_set = await self._menus.set_all()
        except Exception as error:
            if not unavailable(error):
                raise
            logger.debug(msg("log-menus-wait", error=type(error).__name__))

    def use_people(self, config: TelegramConfig) -> None:
        """Roles as configured now, at once; the menus follow."""
        if not self._access.assign(admins=config.admins, operators=config.operators, viewers=config.viewers):
            return
        self._menu_is_set = False
        self._setting_menus = asyncio.create_task(self.set_my_commands(), name="telegram menus")

    async def close(self) -> None:
        """Connections to Telegram. After the poller has stopped."""
        if self._setting_menus is not None:
            self._setting_menus.cancel()
            await asyncio.gather(self._setting_menus, return_exceptions=True)
        await self._replies.close()
        await self._bot.session.close()


def build_bot(
    config: TelegramConfig,
    pool: Pool,
    language: Language,
    timezone: tzinfo,
    clock: Clock,
    oncall: OnCall = NOBODY,
    paces: RateLimiters | None = None,
    reopen: Reopen = nothing_is_held,
    may_act: Callable[[], bool] = always,
    answers_grace: float = GRACE,
) -> TelegramBot:
    """No network yet. `paces`: shared with alerts; `reopen`: ends the pause of a chat that refused alerts.
    `may_act`: whether this process may call Telegram now; of a cluster only the leader may.
    `answers_grace`: seconds for answers in progress at the end; the next process sends the others.

    Raises TokenRefusedError for what is no token.
    """
    if config.token is None:
        raise TokenRefusedError(msg("error-token-empty"))
    proxy = None if config.proxy is None else config.proxy.get_secret_value()
    server_time = ServerTime(clock)
    try:
        session = Session(config.api_url, proxy, server_time, may_act)
        bot = Bot(config.token.get_secret_value(), session=session)
    except TokenValidationError:
        raise TokenRefusedError(msg("error-token-shape", remedy=unauthorized())) from None
    translator = Translator(language)
    transport = None
    if config.chat is not None:
        chat = config.chat
        transport = TelegramTransport(bot, chat.chat_id, chat.thread_id, translator, buttons=config.commands)
    per_person = config.language is LanguageChoice.PER_PERSON
    chats = Chats(clock, config.chat.chat_id if config.chat is not None else None, reopen)

    def translator_of(sender: Sender) -> Translator:
        return Translator(language_of(sender, language)) if per_person else translator

    owed = PendingAnswers(pool)
    replies = Replies(bot, paces or RateLimiters(clock), clock, translator_of, chats, owed)
    context = HandlerContext(
        pool,
        translator,
        timezone,
        replies,
        clock,
        LiveCards(replies, clock),
        codes=_codes(config),
        oncall=oncall,
        people=People(_names(oncall)),
        chats=chats,
        server_time=server_time,
        per_person=per_person,
    )
    access = Access(admins=config.admins, operators=config.operators, viewers=config.viewers)
    router = Router(context, access)
    poller = Poller(bot, pool, router, clock, webhook=config.webhook, owed=owed, grace=answers_grace)
    menus = Menus(bot, pool, translator, access, chats, per_person=per_person)
    upkeep = Maintenance(context, router, menus, bot)
    return TelegramBot(bot, poller, upkeep, replies, transport, translator, menus, access, context.people)


def _names(oncall: OnCall) -> dict[str, str]:
    """By actor."""
    known = ((person.user_id, person.name) for person in oncall.people.values())
    return {f"{Source.TELEGRAM}:{user_id}": name for user_id, name in known if user_id is not None}


def _codes(config: TelegramConfig) -> TotpGuard:
    totp = config.totp
    if totp is None:
        return TotpGuard()
    return TotpGuard(
        frozenset(BY_COMMAND[name] for name in totp.commands),
        {person: secret.get_secret_value() for person, secret in totp.secrets.items()},
    )
