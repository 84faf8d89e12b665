"""Each application under examples/, as a process of its own: it supervises, answers, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from dozor.storage.postgres.pool import connect, disconnect
from tests.bot.botapi.server import BotApi
from tests.house.sources import ROOT
from tests.system.process import PATIENCE, Process
from tests.system.telegram import ADMIN, CHAT, TOKEN, open_telegram
from tests.waiting import stretched, until

EXAMPLES = ROOT / "examples"
RUNNING_SQL = "SELECT count(*) FROM dozor.tasks WHERE state = 'running'"


class Stage:
    """A copy of one example, and its process."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self._database = database
        self.process: Process

    def start(self, name: str, *command: str, **env: str) -> Process:
        shutil.copytree(EXAMPLES / name, self.folder, dirs_exist_ok=True)
        self.process = Process(
            [sys.executable, *command],
            cwd=self.folder,
            output=self.folder.with_suffix(".log"),
            env={"DATABASE_URL": self._database, "PYTHONUNBUFFERED": "1", **env},
        )
        return self.process

    async def supervises(self) -> None:
        """Several runs have gone well, and SIGTERM ends it within its grace, everything written."""
        await self.process.says("rates are checked", times=2)
        began = asyncio.get_running_loop().time()
        assert await self.process.stop() in (0, -15), self.process.text
        assert asyncio.get_running_loop().time() - began < 10.0
        assert "Traceback" not in self.process.text, self.process.text
        connection = await connect(self._database)
        try:
            assert await connection.fetchval("SELECT runs_total FROM dozor.tasks WHERE name = 'rates'") >= 2
            assert await connection.fetchval(RUNNING_SQL) == 0
        finally:
            await disconnect(connection)


@pytest.fixture
def stage(tmp_path: Path, database: str) -> Iterator[Stage]:
    made = Stage(tmp_path / "app", database)
    yield made
    if made.process.alive:
        made.process.kill()


@pytest.fixture
async def telegram() -> AsyncIterator[BotApi]:
    async with open_telegram() as api:
        yield api


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


async def answers(port: int) -> None:
    """`/ready` says 200."""
    url = f"http://127.0.0.1:{port}/ready"
    async with aiohttp.ClientSession() as session:
        deadline = asyncio.get_running_loop().time() + stretched(PATIENCE)
        while True:
            try:
                async with session.get(url) as response:
                    body = await response.json()
                    assert (response.status, body["ready"]) == (200, True), body
                    return
            except aiohttp.ClientConnectionError:
                assert asyncio.get_running_loop().time() < deadline, "nothing listens"
                await asyncio.sleep(0.05)


async def test_plain_asyncio(stage: Stage) -> None:
    stage.start("plain_asyncio", "app.py")
    await stage.supervises()
    assert "stopped" in stage.process.text


async def test_fastapi(stage: Stage) -> None:
    port = free_port()
    stage.start("fastapi_app", "-m", "uvicorn", "app:app", "--port", str(port))
    await answers(port)
    await stage.supervises()


async def test_aiohttp(stage: Stage) -> None:
    port = free_port()
    stage.start("aiohttp_app", "app.py", str(port))
    await answers(port)
    await stage.supervises()


async def test_django(stage: Stage) -> None:
    migrated = stage.start("django_command", "manage.py", "migrate", "--run-syncdb")
    assert await migrated.ends() == 0, migrated.text
    stage.start("django_command", "manage.py", "supervise")
    await stage.supervises()
    assert "stopped" in stage.process.text


async def test_uvloop(stage: Stage) -> None:
    process = stage.start("uvloop_app", "app.py")
    await process.says("ready on uvloop")
    await process.says("rates are checked", times=6)
    await stage.supervises()
    assert "stopped" in process.text


async def test_the_standard_librarys_logging(stage: Stage) -> None:
    process = stage.start("stdlib_logging", "app.py")
    await process.says("INFO [checkers] rates are checked")
    await stage.supervises()
    others = ("INFO [", "WARNING [", "╭", "│", "╰")  # alerts without a chat are shown on the console
    assert all(line.startswith(others) for line in process.text.splitlines()), process.text


async def test_a_bot_of_ones_own_on_the_same_token(stage: Stage, telegram: BotApi) -> None:
    """Its own polling answers; Dozor's alerts arrive, without buttons; nobody is refused with 409."""
    process = stage.start(
        "aiogram_bot", "app.py", BOT_TOKEN=TOKEN, BOT_API=telegram.url, ALERT_CHAT=str(CHAT)
    )

    def stopped() -> bool:
        return any("3/3" in message.history[0] for message in telegram.world.sent(CHAT))

    await telegram.wait_until(stopped, timeout=PATIENCE, what=process.text[-2000:])
    telegram.say(ADMIN, "/start", chat_id=CHAT)
    await telegram.wait_until(
        lambda: any("Hello from the shop" in message.history[0] for message in telegram.world.sent(CHAT)),
        timeout=PATIENCE,
        what=process.text[-2000:],
    )
    assert all("reply_markup" not in call.params for call in telegram.calls if call.method == "sendMessage")
    pollers = [call for call in telegram.calls if call.method == "getUpdates"]
    assert pollers
    assert not [call for call in telegram.calls if call.method == "setMyCommands"]
    assert await process.stop() in (0, -15)
    assert "stopped" in process.text
    assert "Conflict" not in process.text
    await until(lambda: not process.alive)


def test_every_example_has_a_readme_and_stands_in_the_list() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for folder in sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and os.listdir(path)):
        assert (folder / "README.md").exists()
        assert f"({folder.name})" in listed
