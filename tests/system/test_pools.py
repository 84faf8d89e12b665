"""Checkers that hold every connection of `ctx.db` stop nothing but checkers that need one."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.effort import SOAK, cases
from tests.system.process import Process
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, CHAT, all_texts, chat_has, section, texts
from tests.system.test_faults import _free_port
from tests.waiting import until

HOLDERS = 13
STATE_SQL = "SELECT state FROM dozor.incidents WHERE kind = 'pool_exhausted'"
SECONDS = 15.0
"""Within which a critical stop must reach the chat while connections are held."""
HEADERS = {
    "ru": r"🔴 ctx\.db: .* нет свободных соединений, занято {size} из {size}",
    "en": r"🔴 ctx\.db: no connection has been free for .*, all {size} are held",
}
HELD_BY = {
    "ru": r"Держит (\S+), запуск (\S+), с (\d\d:\d\d:\d\d)",
    "en": r"Held by (\S+), run (\S+), since (\d\d:\d\d:\d\d)",
}
OVER = {"ru": "✅ ctx.db: соединения снова свободны", "en": "✅ ctx.db: connections are free again"}
STOPPED = {"ru": "🛑 {name} остановлена", "en": "🛑 {name} stopped"}


class Starved:
    """A runner whose checkers hold every connection; `port` is its web server's."""

    def __init__(self, stage: Stage, telegram: BotApi, process: Process, port: int, language: str) -> None:
        self.stage, self.telegram, self.process, self.port = stage, telegram, process, port
        self.language = language

    @property
    def holding(self) -> dict[str, str]:
        """The id of the run that holds a connection, by task."""
        names = [f"holder_{number:02}" for number in range(HOLDERS)]
        lines = {name: self.stage.runs(name) for name in names}
        return {name: found[0].removeprefix("holds ") for name, found in lines.items() if found}

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        limit = aiohttp.ClientTimeout(10)
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as answer:
            return answer.status, await answer.text()

    async def begin(self, size: int) -> None:
        """Returns when the bot polls and `size` connections are held."""
        await until(lambda: bool(self.telegram.calls_of("getUpdates")), within=60)
        await until(lambda: bool(all_texts(self.telegram)), within=60)
        (self.stage.folder / "begin").touch()
        await until(lambda: len(self.holding) >= size, within=30)

    async def nothing_else_is_touched(self, name: str) -> None:
        """A critical stop is told, the bot polls and restarts, the page and /readyz answer."""
        polls = len(self.telegram.calls_of("getUpdates"))
        self.stage.order(name, "fail provider is away")
        began = time.monotonic()
        await chat_has(self.telegram, STOPPED[self.language].format(name=name), within=60)
        told_after = time.monotonic() - began
        assert told_after < SECONDS, told_after
        status, body = await self.get("/readyz")
        assert status == 200, body
        self.stage.order(name, "succeed")
        runs = len(self.stage.runs(name))
        self.telegram.say(ADMIN, f"/restart {name}", chat_id=CHAT)
        await until(lambda: len(self.stage.runs(name)) > runs + 1, within=SECONDS)
        await until(lambda: len(self.telegram.calls_of("getUpdates")) > polls, within=SECONDS)
        for path in ("/", "/api/status", "/metrics"):
            status, body = await self.get(path)
            assert status == 200, path
            assert name in body
        status, body = await self.get("/readyz")
        assert status == 200, body


async def starved(
    stage: Stage, telegram: BotApi, database: str, *, how: str, language: str = "ru", pools: Any = None
) -> Starved:
    shutil.copy(Path(__file__).with_name("holding.py"), stage.folder / "holding.py")
    port = _free_port()
    tasks: dict[str, Any] = {
        "first": {**QUICK, "max_consecutive_failures": 1},
        "second": {**QUICK, "max_consecutive_failures": 1},
        "loop": {"run": "holding:know_the_loop", "every": "1h"},
    }
    tasks |= {f"holder_{number:02}": {"run": f"holding:{how}", "every": "1h"} for number in range(HOLDERS)}
    sections: dict[str, Any] = {"telegram": section(telegram), "web": {"listen": f"127.0.0.1:{port}"}}
    if pools is not None:
        sections["database"] = {"url": database, "pools": pools}
    stage.write(tasks, url=database, language=language, **sections)
    return Starved(stage, telegram, await stage.watch(), port, language)


USUAL: list[tuple[str, int, str, Any]] = [
    ("hold_in_transaction", 10, "ru", None),
    ("hold_in_thread", 10, "en", {"starved_after": "2s"}),
    ("hold", 1, "en", {"checkers": 1, "core": 1, "web": 1, "starved_after": "2s"}),
]
MORE: list[tuple[str, int, str, Any]] = [
    ("hold", 10, "ru", None),
    ("hold", 10, "en", None),
    ("hold_in_thread", 10, "en", None),
    ("hold", 1, "en", {"checkers": 1, "starved_after": "2s"}),
    ("hold_in_transaction", 1, "ru", {"checkers": 1, "core": 1, "web": 1, "starved_after": "2s"}),
]
"""How they are held, how many there are, the language and the configuration of the pools."""


@pytest.mark.parametrize(("how", "size", "language", "pools"), USUAL + (MORE if SOAK else []))
async def test_held_connections_are_an_incident_and_stop_nothing_else(
    stage: Stage,
    telegram: BotApi,
    database: str,
    pool: Pool,
    how: str,
    size: int,
    language: str,
    pools: dict[str, Any] | None,
) -> None:
    here = await starved(stage, telegram, database, how=how, language=language, pools=pools)
    await here.begin(size)
    await here.nothing_else_is_touched("first")
    await chat_has(telegram, "🔴 ctx.db", within=60)
    text = next(text for text in texts(telegram) if text.startswith("🔴 ctx.db"))
    assert re.match(HEADERS[language].format(size=size), text), text
    assert {name: run for name, run, _ in re.findall(HELD_BY[language], text)} == here.holding
    waiting = next(line for line in text.splitlines() if "holder_" in line and ", holder_" in line)
    assert not set(here.holding) & set(re.findall(r"holder_\d\d", waiting))
    await here.nothing_else_is_touched("second")
    (stage.folder / "let_go").touch()
    await until(lambda: any(OVER[language] in text for text in all_texts(telegram)), within=30)
    assert await pool.fetchval(STATE_SQL) == "resolved"
    await until(lambda: len(here.holding) == HOLDERS, within=30)
    assert await here.process.stop() == 0


async def test_pages_that_are_hammered_stop_nothing_else(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    pools = {"web": 1, "checkers": 1, "starved_after": "2s"}
    here = await starved(stage, telegram, database, how="hold", pools=pools)
    await here.begin(1)
    asked: list[int] = []

    async def hammer() -> None:
        while True:
            for path in ("/", "/api/status", "/metrics"):
                try:
                    asked.append((await here.get(path))[0])
                except TimeoutError:
                    asked.append(0)

    visitors = cases(12, 40)
    hammering = [asyncio.create_task(hammer()) for _ in range(visitors)]
    await until(lambda: len(asked) > 2 * visitors, within=60)
    await here.nothing_else_is_touched("first")
    await chat_has(telegram, "🔴 ctx.db", within=60)
    for task in hammering:
        task.cancel()
    await asyncio.gather(*hammering, return_exceptions=True)
    assert 500 not in asked
    assert await here.process.stop() == 0


async def test_connections_that_ended_and_hung_runs_keep_are_taken_back(
    stage: Stage, database: str, pool: Pool
) -> None:
    shutil.copy(Path(__file__).with_name("holding.py"), stage.folder / "holding.py")
    tasks = {
        "leaky": {"run": "holding:leak", "every": "1h"},
        "deaf": {"run": "holding:hold_deaf", "every": "1h", "timeout": "3s", "restart_delay": "200ms"},
        "user": {"run": "holding:use", "every": "200ms", "restart_delay": "200ms"},
    }
    stage.write(
        tasks,
        url=database,
        database={"url": database, "pools": {"checkers": 2, "starved_after": "1s"}},
        supervision={"cancel_patience": "500ms"},
        language="en",
    )
    process = await stage.watch()
    for name in ("leaky", "deaf"):
        await process.says(f"Task {name}: its run 1-", within=60)
    assert len(stage.runs("leaky")) == len(stage.runs("deaf")) == 1
    used = len(stage.runs("user"))
    await until(lambda: len(stage.runs("user")) > used + 3, within=30)
    # Both were held while `user` waited: an incident, and over by now.
    assert await pool.fetchval(STATE_SQL) == "resolved"
    said = await pool.fetchval("SELECT payload->'holders' FROM dozor.notifications WHERE payload ? 'holders'")
    assert {holder[0] for holder in said} == {"leaky", "deaf"}
    kept = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dozor checkers'"
    assert await pool.fetchval(kept) <= 1
    (stage.folder / "let_go").touch()
    assert await process.stop() == 0


async def test_a_process_of_its_own_has_its_own_bounded_connections(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    shutil.copy(Path(__file__).with_name("holding.py"), stage.folder / "holding.py")
    greedy = {
        "run": "holding:take_six",
        "every": "1h",
        "isolation": "process",
        "max_consecutive_failures": 1,
    }
    pools = {"process": 2, "starved_after": "500ms", "acquire_timeout": "1s"}
    stage.write(
        {"greedy": greedy, "user": {"run": "holding:use", "every": "200ms"}},
        url=database,
        database={"url": database, "pools": pools},
        telegram=section(telegram),
    )
    process = await stage.watch()
    await chat_has(telegram, "🛑 greedy остановлена", within=90)
    text = next(text for text in texts(telegram) if text.startswith("🛑 greedy"))
    assert re.search(
        r"PoolExhaustedError: ни одно соединение ctx\.db не освободилось за 1 с; "
        r"держит: greedy \(запуск 1-\d+\) с \d\d:\d\d:\d\d UTC, greedy \(запуск 1-\d+\)",
        text,
    )
    used = len(stage.runs("user"))
    await until(lambda: len(stage.runs("user")) > used + 3, within=30)
    assert await process.stop() == 0
