"""A Bot API over HTTP, a bot on it, and a runner of the simplest kind behind the database door."""

from __future__ import annotations

import dozor_bot.library  # noqa: F401 -- before aiogram

# isort: split
import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from aiogram import Bot

from dozor.alerting.policy.oncall import OnCall, Person, Rotation
from dozor.clock import SteadyClock
from dozor.config.sections.config import TelegramConfig
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor_bot.app import TelegramBot, build_bot
from dozor_bot.telegram.session import Session
from tests.bot.botapi.server import BotApi
from tests.bot.executor import Executor

ADMIN, OPERATOR, VIEWER, STRANGER = 111, 222, 333, 666
GROUP, FORUM, TOPIC = -500, -1001, 17
ZONE = ZoneInfo("Europe/Moscow")
ONCALL = OnCall(
    {
        "Анна": Person(name="Анна", mention="@ann", user_id=ADMIN),
        "Олег": Person(name="Олег", user_id=OPERATOR),
    },
    Rotation(
        people=("Анна", "Олег"),
        start=datetime(2026, 1, 1, 10),  # noqa: DTZ001 -- local, in the rotation's own zone
        shift=timedelta(days=3650),
        timezone=ZONE,
    ),
)


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    api = BotApi()
    for user_id, name in ((ADMIN, "Анна"), (OPERATOR, "Олег"), (VIEWER, "Вера"), (STRANGER, "Чужой")):
        api.world.add_user(user_id, name)
    api.world.add_chat(GROUP, "group", "Дежурные")
    api.world.add_chat(FORUM, "supergroup", "Команда", is_forum=True, topics={TOPIC: True, 18: False})
    async with api:
        yield api


@pytest.fixture
async def client(api: BotApi) -> AsyncIterator[Bot]:
    """aiogram's Bot on our session."""
    session = Session(api.url)
    yield Bot(api.token, session=session)
    await session.close()


def configure(api: BotApi, **more: object) -> TelegramConfig:
    return TelegramConfig.model_validate(
        {
            "token": api.token,
            "api_url": api.url,
            "chat": GROUP,
            "admins": [ADMIN],
            "operators": [OPERATOR],
            "viewers": [VIEWER],
            **more,
        }
    )


def build(
    api: BotApi, pool: Pool, language: Language = Language.RU, *, proxy: str | None = None
) -> TelegramBot:
    """People's own Telegram speaks the same language."""
    for user in api.world.users.values():
        user.language_code = language.value
    return build_bot(configure(api, proxy=proxy), pool, language, ZONE, SteadyClock(), ONCALL)


class Running:
    """A bot whose poller runs; `kill` ends it as kill -9 would: without a word to anybody."""

    def __init__(self, telegram: TelegramBot) -> None:
        self.telegram = telegram
        self.poller = telegram.poller
        self.task = asyncio.create_task(telegram.run())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.telegram.close()


@pytest.fixture
async def executor(pool: Pool) -> AsyncIterator[Executor]:
    executor = Executor(pool)
    task = asyncio.create_task(executor.run())
    yield executor
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def running(api: BotApi, pool: Pool, executor: Executor) -> AsyncIterator[Running]:
    """A Russian bot that has begun to poll."""
    running = Running(build(api, pool))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")), what="the first poll")
    yield running
    await running.close()
