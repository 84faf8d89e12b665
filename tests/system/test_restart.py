"""The start of a runner reports to the people on call what happened since the last stop."""

from __future__ import annotations

import asyncio
import re

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.process import Process
from tests.system.stage import QUICK, Stage
from tests.system.telegram import CHAT, section
from tests.waiting import until

AWAY = 1.0
"""Seconds without a watch."""
UNCLEAN = "⚠️ Дозор запущен после аварийного завершения: не работал "
NOTHING_OWED = "SELECT count(*) = 0 FROM dozor.notifications WHERE state IN ('pending', 'sending')"
WELL = "SELECT bool_and(runs_total > 1) FROM dozor.tasks WHERE name = 'often'"


def _starts(telegram: BotApi) -> list[StoredMessage]:
    """Messages about starts, the oldest first."""
    return [message for message in telegram.world.sent(CHAT) if "Дозор" in message.history[0].split("\n")[0]]


async def _told(telegram: BotApi, pool: Pool, count: int) -> StoredMessage:
    """The newest message about a start, once there are so many and the runner knows that they have left."""
    await telegram.wait_until(lambda: len(_starts(telegram)) >= count, timeout=30, what=f"{count} starts")
    await until_true(pool, NOTHING_OWED, within=30)
    assert len(_starts(telegram)) == count
    return _starts(telegram)[-1]


async def _at_work(stage: Stage, telegram: BotApi, database: str, pool: Pool) -> Process:
    """A task that runs every second, one that never comes to an end, one that is stopped."""
    tasks = {
        "often": {**QUICK, "every": "1s"},
        "endless": {**QUICK, "every": "1h"},
        "broken": {**QUICK, "every": "1h", "max_consecutive_failures": 1},
    }
    stage.write(tasks, url=database, telegram=section(telegram))
    stage.order("endless", "hang")
    stage.order("broken", "fail for good")
    process = await stage.watch()
    await until_true(pool, WELL, within=30)
    await until(lambda: bool(stage.runs("endless")), within=30)
    await until_true(pool, "SELECT state = 'stopped' FROM dozor.tasks WHERE name = 'broken'", within=30)
    return process


async def test_after_a_kill_one_message_says_for_how_long_and_what_was_found(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    process = await _at_work(stage, telegram, database, pool)
    hello = await _told(telegram, pool, 1)
    assert hello.text == "🟢 Дозор работает: 3 задачи"
    assert hello.silent
    process.kill()
    await asyncio.sleep(AWAY)  # nobody is on watch
    await stage.watch()
    report = await _told(telegram, pool, 2)
    print(report.text)
    header, last_sign, *lines = report.text.splitlines()
    assert header.startswith(UNCLEAN)
    assert AWAY <= int(header.removeprefix(UNCLEAN).split()[0]) <= AWAY + 20
    assert re.fullmatch(r"Последний признак жизни в [\d:]+ UTC, потом сбой, kill -9 или питание\.", last_sign)
    assert "Прерваны запуски: endless" in lines
    [missed] = [line for line in lines if line.startswith("Пропущено")]
    runs = int(re.findall(r"\d+", missed)[0])
    assert AWAY <= runs <= AWAY + 20
    assert missed.endswith("(задач: 1)")
    assert lines[-2:] == ["🛑 broken", "Инцидентов, открытых до этого запуска: 1"]
    assert not report.silent
    assert report.buttons[0][0] == "🔄 broken"
    rows = await pool.fetch("SELECT task, state, failures FROM dozor.incidents WHERE kind = 'unclean_end'")
    assert [tuple(row) for row in rows] == [(None, "open", 1)]


async def test_after_a_sigterm_the_next_start_is_told_without_a_sound(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    stage.write({"often": {**QUICK, "every": "1s"}}, url=database, telegram=section(telegram))
    process = await stage.watch()
    await until_true(pool, WELL, within=30)
    await _told(telegram, pool, 1)
    assert await process.stop() == 0
    await stage.watch()
    report = await _told(telegram, pool, 2)
    print(report.text)
    header, stopped, *_ = report.text.splitlines()
    assert re.fullmatch(r"🟢 Дозор снова работает: не работал [\d ]+ м?с", header)
    assert re.fullmatch(r"Был остановлен командой или сигналом в [\d:]+ UTC\.", stopped)
    assert report.silent
    assert await pool.fetchval("SELECT count(*) FROM dozor.incidents") == 0


async def test_five_kills_in_a_row_are_one_message_that_counts_them(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    stage.write({"often": {**QUICK, "every": "1s"}}, url=database, telegram=section(telegram))
    process = await stage.watch()
    await _told(telegram, pool, 1)
    for number in range(1, 6):
        process.kill()
        process = await stage.watch()
        counted = f"SELECT failures = {number} FROM dozor.incidents WHERE kind = 'unclean_end'"
        await until_true(pool, counted, within=30)
        # A message that is cut off by a kill is sent again; here none is (test_kill.py plays that).
        await until_true(pool, NOTHING_OWED, within=30)
    await telegram.wait_until(lambda: len(_starts(telegram)) >= 2, timeout=30, what="a report")
    await until_true(pool, NOTHING_OWED, within=30)
    report = _starts(telegram)[-1]
    again = "⚠️ Дозор аварийно завершается: уже 5 раз с "
    await telegram.wait_until(lambda: report.text.startswith(again), timeout=30, what="an edit")
    print(report.text)
    # A task that was in a run at three of the kills is a suspect: the message that names it is sent anew.
    suspecting = [message for message in _starts(telegram) if "Возможные причины аварии" in message.text]
    assert len(suspecting) <= 1
    assert len(_starts(telegram)) == 2 + len(suspecting)
    assert await pool.fetchval("SELECT count(*) FROM dozor.notifications") == 2 + len(suspecting)


async def test_a_runner_that_ends_because_it_cannot_go_on_has_not_ended_well(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    deaf = {**QUICK, "timeout": "200ms", "on_hang": "exit"}
    limits = {"cancel_patience": "300ms"}
    stage.write({"deaf": deaf}, url=database, telegram=section(telegram), supervision=limits)
    stage.order("deaf", "deaf")
    process = await stage.watch("--grace", "0.5")
    assert await process.ends() == 70
    stage.order("deaf", "succeed")
    await stage.watch()
    await telegram.wait_until(
        lambda: any(message.text.startswith(UNCLEAN) for message in _starts(telegram)), timeout=30
    )
    assert await pool.fetchval("SELECT clean FROM dozor.runners WHERE id = 1") is False
