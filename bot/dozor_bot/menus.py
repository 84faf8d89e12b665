"""Menus of commands by scope and language: each person sees the commands that their role may use.

A menu is no authorisation, only a help. What has been set is remembered, so that a start changes only what
the configuration has changed, and takes away the menu of somebody who has lost their role.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
)
from aiogram.methods import DeleteMyCommands, SetMyCommands
from aiogram.types import BotCommand, BotCommandScopeChat, BotCommandScopeDefault
from loguru import logger

from dozor.language import msg
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor_bot.chats import Chats
from dozor_bot.commands import BY_NAME, COMMANDS, CommandSpec
from dozor_bot.poller import CALL_TIMEOUT
from dozor_bot.security.access import Access, Role
from dozor_bot.telegram.errors import description

READ_SQL = "SELECT scope, menu FROM dozor.telegram_menus"
WRITE_SQL = """
INSERT INTO dozor.telegram_menus (scope, menu) VALUES ($1, $2)
ON CONFLICT (scope) DO UPDATE SET menu = excluded.menu
"""
FORGET_SQL = "DELETE FROM dozor.telegram_menus WHERE scope = $1"

DEFAULT = "default"
Scope = BotCommandScopeDefault | BotCommandScopeChat


class Menus:
    """`chats` has the chat of alerts, which everybody in it can read, and what it has become.

    `per_person`: menus are in the language of whoever sees them; else in that of `translator`.
    """

    def __init__(
        self,
        bot: Bot,
        pool: Pool,
        translator: Translator,
        access: Access,
        chats: Chats,
        *,
        per_person: bool = True,
    ) -> None:
        self._bot, self._pool, self._translator = bot, pool, translator
        self._access, self._chats, self._per_person = access, chats, per_person

    async def set_all(self) -> bool:
        """False if Telegram did not take everything; then it is worth trying again."""
        known = {row["scope"]: row["menu"] for row in await self._pool.fetch(READ_SQL)}
        while True:
            chat_id, wanted = self._chats.of_alerts, dict(self._wanted())
            for key, menu in wanted.items():
                if known.get(key) != menu and not await self._set(key, menu):
                    return False
            if self._chats.of_alerts == chat_id:
                break  # else the chat has turned out to be another one
        for key in known.keys() - wanted.keys():
            if not await self._set(key, None):
                return False
        return True

    def _wanted(self) -> Iterator[tuple[str, str]]:
        """Scope and language, such as "111/ru", and the menu as JSON. "" is every other language."""
        scopes: dict[str, tuple[CommandSpec, ...]] = {DEFAULT: (BY_NAME["whoami"],)}
        if self._chats.of_alerts is not None:
            scopes[str(self._chats.of_alerts)] = _of(Role.OPERATOR)
        scopes |= {str(person): _of(role) for person, role in sorted(self._access.people.items())}
        for scope, specs in scopes.items():
            for language in (None, *Language):
                own = Translator(language) if language is not None and self._per_person else None
                translator = own or self._translator
                menu = [[spec.name, translator.format(spec.description)] for spec in specs]
                yield f"{scope}/{language or ''}", json.dumps(menu, ensure_ascii=False)

    async def _set(self, key: str, menu: str | None) -> bool:
        place, _, language = key.partition("/")
        scope: Scope = (
            BotCommandScopeDefault() if place == DEFAULT else BotCommandScopeChat(chat_id=int(place))
        )
        method: SetMyCommands | DeleteMyCommands
        if menu is None:
            method = DeleteMyCommands(scope=scope, language_code=language or None)
        else:
            commands = [BotCommand(command=name, description=said) for name, said in json.loads(menu)]
            method = SetMyCommands(commands=commands, scope=scope, language_code=language or None)
        try:
            await self._bot(method, request_timeout=CALL_TIMEOUT)
        except (TelegramBadRequest, TelegramForbiddenError) as error:
            # Somebody who has never written to the bot has no chat with it yet: as soon as they do.
            logger.debug(msg("log-no-menu", key=key, reason=description(error)))
            if menu is None:
                await self._pool.execute(FORGET_SQL, key)
            elif place != DEFAULT:
                self._chats.missing_menu(int(place))
            return True
        except TelegramMigrateToChat as error:
            await self._pool.execute(FORGET_SQL, key)
            self._chats.moved(int(place), error.migrate_to_chat_id)
            return True
        except AiogramError as error:
            logger.warning(msg("log-menus-refused", reason=description(error)))
            return False
        if menu is None:
            await self._pool.execute(FORGET_SQL, key)
        else:
            await self._pool.execute(WRITE_SQL, key, menu)
        return True


def _of(role: Role) -> tuple[CommandSpec, ...]:
    return tuple(spec for spec in COMMANDS if role >= spec.role)
