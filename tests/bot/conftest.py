"""A Bot API over HTTP, a bot on it, and a runner of the simplest kind on the same database.

The tests of this folder share an event loop, a database and connections to it, which is most of what such a
test would cost. The database is emptied before each, and what a test leaves running is cancelled after it.
An asynchronous fixture is made with `on_the_loop`.
"""

from __future__ import annotations

import dozor_bot.library  # noqa: F401 -- before aiogram

# isort: split
import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from aiogram import Bot

from dozor.alerting.policy.oncall import OnCall, Person, Rotation
from dozor.clock import SteadyClock
from dozor.config.sections.config import TelegramConfig
from dozor.language import Language
from dozor.storage.postgres.pool import Pool, create_pool
from dozor_bot.app import TelegramBot, build_bot
from dozor_bot.telegram.session import Session
from tests.bot.botapi.server import BotApi
from tests.bot.executor import Executor
from tests.shared_database import SharedDatabase
from tests.templates import CORE_TEMPLATE, Databases

on_the_loop = partial(pytest_asyncio.fixture, loop_scope="session")
"""Of an asynchronous fixture: it runs on the loop that the tests of this folder share."""
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Given the items of the whole session."""
    shared = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and pytest_asyncio.is_async_test(item):
            item.add_marker(shared, append=False)


@on_the_loop(autouse=True)
async def _nothing_goes_on() -> AsyncIterator[None]:
    """What a test leaves running is cancelled, as by the end of a loop of its own."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture(scope="session")
def shared_dsn(databases: Databases) -> Iterator[str]:
    yield from databases.fresh(CORE_TEMPLATE)


@on_the_loop(scope="session")
async def shared_database(shared_dsn: str) -> AsyncIterator[SharedDatabase]:
    database = await SharedDatabase.open(shared_dsn)
    yield database
    unchanged = await database.unchanged()
    await database.close()
    assert unchanged, "a test has changed the structure of the database that it shares"


@on_the_loop(scope="session")
async def shared_pool(shared_database: SharedDatabase) -> AsyncIterator[Pool]:
    pool = await create_pool(shared_database.dsn, min_size=1, max_size=5)
    yield pool
    pool.terminate()
    await asyncio.sleep(0)  # the transports close on the loop


@on_the_loop()
async def database(shared_database: SharedDatabase) -> str:
    """DSN of a migrated database without rows."""
    await shared_database.empty()
    return shared_database.dsn


@on_the_loop()
async def pool(database: str, shared_pool: Pool) -> Pool:
    """A pool on `database`."""
    return shared_pool


@on_the_loop()
async def api() -> AsyncIterator[BotApi]:
    api = BotApi()
    for user_id, name in ((ADMIN, "Анна"), (OPERATOR, "Олег"), (VIEWER, "Вера"), (STRANGER, "Чужой")):
        api.world.add_user(user_id, name)
    api.world.add_chat(GROUP, "group", "Дежурные")
    api.world.add_chat(FORUM, "supergroup", "Команда", is_forum=True, topics={TOPIC: True, 18: False})
    async with api:
        yield api


@on_the_loop()
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
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture at once, without the process that draws it: drawing has tests of its own."""

    async def paint(chart: object) -> bytes:
        return b"\x89PNG"

    monkeypatch.setattr("dozor_bot.handlers.chart.paint", paint)


@on_the_loop()
async def executor(pool: Pool) -> AsyncIterator[Executor]:
    executor = Executor(pool)
    task = asyncio.create_task(executor.run())
    yield executor
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@on_the_loop()
async def running(api: BotApi, pool: Pool, executor: Executor) -> AsyncIterator[Running]:
    """A Russian bot that has begun to poll."""
    running = Running(build(api, pool))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")), what="the first poll")
    yield running
    await running.close()
