"""The bot within a runner: imported late, built once, closed at the end. Nothing else imports it."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from loguru import logger

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Transport
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.policy.routes import parse_destination
from dozor.clock import SteadyClock
from dozor.config import Config, TelegramConfig
from dozor.control.alert_settings import oncall
from dozor.control.bot_monitor import BotMonitor
from dozor.control.commands.actor import Source
from dozor.control.queries.people import read_names
from dozor.errors import DozorError
from dozor.language import msg
from dozor.process.threads import in_own_thread
from dozor.storage.postgres.pool import Pool

if TYPE_CHECKING:
    from dozor_bot.app import TelegramBot

BOT = "dozor_bot.app"
ANSWERS_SECONDS = 0.1
"""What answers in progress get at the end of a leader of a cluster: the next leader sends the others."""


async def import_bot(config: Config) -> None:
    """Import the bot of a process that may lead later, so that its first run does not wait for the CPU."""
    if config.telegram.token is not None:
        with suppress(ImportError):  # reported when the bot is needed
            await in_own_thread(importlib.import_module, BOT)


class TelegramSide:
    """`problem`, `polled_at`: for `/readyz`. Without a token nothing of this happens."""

    def __init__(
        self, config: Config, pool: Pool, clock: SteadyClock, may_act: Callable[[], bool] | None = None
    ) -> None:
        """`may_act`: of a cluster, whether this process still leads; asked before each call of Telegram."""
        self._may_act = may_act
        self._config = config
        self._pool = pool
        self._clock = clock
        self._bot: TelegramBot | None = None
        self._unbuilt: str | None = None
        self._ready = asyncio.Event()
        self._names: dict[str, str] = {}
        # Of the process before this one, until the bot is there: it takes a second to load.
        self._on_defect: Callable[[BaseException], None] = lambda error: None

    @property
    def wanted(self) -> bool:
        return self._config.telegram.token is not None

    @property
    def takes_commands(self) -> bool:
        """Whether updates are taken here, and not by a bot of the user's own with the same token."""
        return self.wanted and self._config.telegram.commands

    @property
    def problem(self) -> str | None:
        """What is wrong now, in words."""
        return self._unbuilt or (None if self._bot is None else self._bot.poller.problem)

    @property
    def polled_at(self) -> float | None:
        """When Telegram last answered; seconds since the epoch."""
        return None if self._bot is None else self._bot.poller.last_success

    def name_of(self, actor: str) -> str | None:
        """What "telegram:111" is called, if that is known."""
        met = None if self._bot is None else self._bot.people.name_of(actor)
        return met or self._names.get(actor)

    async def read_names(self) -> None:
        """Before the first message: who acted is called by name after a restart as well."""
        people = oncall(self._config.oncall).people.values()
        configured = {
            f"{Source.TELEGRAM}:{one.user_id}": one.name for one in people if one.user_id is not None
        }
        self._names = configured | await read_names(self._pool)

    def say_if_absent(self) -> None:
        """Without a token nobody should wait for messages in a chat."""
        if not self.wanted:
            logger.info(msg("log-no-token"))

    async def connect(self, dispatcher: Dispatcher) -> None:
        """Build the bot, once, and have messages go through it.

        aiogram takes a second to import: in a thread, while supervision goes on.
        """
        if not self.wanted or self._bot is not None:
            return
        module = await in_own_thread(importlib.import_module, BOT)
        config = self._config
        try:
            self._bot = bot = module.build_bot(
                config.telegram,
                self._pool,
                config.language,
                config.timezone,
                self._clock,
                oncall(config.oncall, config.telegram),
                dispatcher.paces,
                dispatcher.reopen,
                **(
                    {}
                    if self._may_act is None
                    else {"may_act": self._may_act, "answers_grace": ANSWERS_SECONDS}
                ),
            )
        except DozorError as error:
            self._unbuilt = str(error)
            logger.error(msg("log-alerts-to-console", error=error))
            return
        bot.poller.on_defect = lambda error: self._on_defect(error)
        transport: Transport | None = bot.transport
        if transport is not None:
            chat = config.telegram.chat
            dispatcher.set_transport(transport, self._open_way, chat_id=chat.chat_id if chat else None)
        self._ready.set()

    @property
    def webhook(self) -> Callable[[bytes, str], Awaitable[int]] | None:
        """For the web server; None: Telegram is polled."""
        return None if self._config.telegram.webhook is None else self.receive

    def admits(self, secret: str) -> bool:
        """Whether the secret header of a request is Telegram's. Nobody's is while there is no bot yet."""
        inbox = None if self._bot is None else self._bot.poller.inbox
        return inbox is not None and inbox.admits(secret)

    async def receive(self, body: bytes, secret: str) -> int:
        """An update that Telegram has brought; the HTTP status of the answer."""
        inbox = None if self._bot is None else self._bot.poller.inbox
        return 503 if inbox is None else await inbox.receive(body, secret)

    def parts(self, manager: IncidentManager) -> dict[str, Callable[[], Awaitable[None]]]:
        """The bot's long-lived parts, and the one that watches it; nothing without a token."""
        if not self.takes_commands:
            return {}
        watching = BotMonitor(
            manager, self._clock, lambda: self.polled_at, lambda: self.problem, time.monotonic
        )
        self._on_defect = watching.failed
        return {"telegram": self.poll, "telegram watch": watching.run}

    async def poll(self) -> None:
        """Take commands for ever, once the bot is there."""
        await self._ready.wait()
        assert self._bot is not None
        await self._bot.set_my_commands()
        await self._bot.run()

    def use_people(self, config: TelegramConfig) -> None:
        """Roles have changed: they count from the next command on, and the menus follow."""
        if self._bot is not None:
            self._bot.use_people(config)

    async def close(self) -> None:
        if self._bot is not None:
            await self._bot.close()

    def _open_way(self, key: str) -> tuple[Transport, int] | None:
        """The way to a destination such as "-1001234567890:17" or "111"."""
        bot, place = self._bot, parse_destination(key)
        return None if bot is None or place is None else (bot.transport_to(*place), place[0])
