"""Faults of what surrounds the runner: a token, a chat, a port, a disk, a database, another runner."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.system.process import Process
from tests.system.stage import QUICK, Stage
from tests.system.telegram import section, texts
from tests.waiting import until

FAILING = {**QUICK, "every": "1h", "max_consecutive_failures": 1}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def _readyz(port: int) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status, await answer.text()


async def _ends_with(process: Process, code: int, *words: str) -> str:
    assert await process.ends(within=60) == code, process.text
    for word in words:
        assert word in process.text
    assert "Traceback" not in process.text
    return process.text


# -- Telegram


async def test_a_token_that_telegram_refuses_leaves_supervision_and_the_console(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    token = "8214467301:BBHq-AnotherBots-Token-That-Is-Refused"
    port = _free_port()
    stage.write(
        {"failing": FAILING, "well": QUICK},
        url=database,
        telegram=section(telegram, token=token),
        web={"listen": f"127.0.0.1:{port}"},
    )
    stage.order("failing", "fail provider is away")
    process = await stage.watch()
    await process.says("@BotFather")
    await process.says("🛑 failing остановлена")
    runs = len(stage.runs("well"))
    await until(lambda: len(stage.runs("well")) > runs + 1, within=30)
    status, body = await _readyz(port)
    assert status == 503
    assert "@BotFather" in body
    assert token not in body + process.text
    assert await process.stop() == 0


async def test_a_chat_that_does_not_exist_is_named_and_its_alerts_are_shown_on_the_console(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    port = _free_port()
    stage.write(
        {"failing": FAILING, "well": QUICK},
        url=database,
        telegram=section(telegram, chat=-1009999999999),
        web={"listen": f"127.0.0.1:{port}"},
    )
    stage.order("failing", "fail provider is away")
    process = await stage.watch()
    await process.says("не принимает сообщения: chat not found")
    await process.says("🛑 failing остановлена")
    await process.says("Веб: слушаю")
    status, body = await _readyz(port)
    assert status == 503
    assert "chat not found" in body
    # The alert waits until somebody mends the chat; while it is tried again its state is "sending".
    state = await pool.fetchval("SELECT state FROM dozor.notifications WHERE task IS NOT NULL")
    assert state in {"pending", "sending"}
    runs = len(stage.runs("well"))
    await until(lambda: len(stage.runs("well")) > runs + 1, within=30)
    assert texts(telegram) == []


# -- the port


async def test_a_port_in_use_is_named_and_supervision_goes_on(stage: Stage, database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stage.write({"well": QUICK}, url=database, web={"listen": f"127.0.0.1:{port}"})
        process = await stage.watch()
        await process.says(f"127.0.0.1:{port}")
        line = next(line for line in process.text.splitlines() if f"127.0.0.1:{port}" in line)
        assert "ERROR" in line
        assert "web.listen" in line
        runs = len(stage.runs("well"))
        await until(lambda: len(stage.runs("well")) > runs + 1, within=30)
    # Freed, it is taken without a restart of the runner.
    async with aiohttp.ClientSession() as session:
        await process.says("Веб: слушаю")
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
    assert "Traceback" not in process.text


# -- another runner on the same database


async def test_a_second_runner_is_refused_and_told_who_holds_the_database(
    stage: Stage, database: str
) -> None:
    stage.write({"task": QUICK}, url=database)
    first = await stage.watch()
    second = stage.run()
    holder = f"раннер 1, процесс {first.pid} на {socket.gethostname()}"
    await _ends_with(second, 1, f"С этой базой работает другой раннер: {holder}", "--wait")
    assert first.alive
    assert " работает: задач" not in second.text


@pytest.mark.parametrize("ending", ["SIGTERM", "kill -9"])
async def test_one_that_waits_takes_over_when_the_first_has_ended(
    stage: Stage, database: str, pool: Pool, ending: str
) -> None:
    stage.write({"task": QUICK, "stopped": FAILING}, url=database)
    stage.order("stopped", "fail for good")
    first = await stage.watch()
    await first.says("Фоновая задача stopped остановлена")
    second = stage.run("--wait")
    await second.says(f"Жду, пока закончит раннер 1, процесс {first.pid}")
    assert "Запуск" not in second.text
    if ending == "SIGTERM":
        assert await first.stop() == 0
    else:
        first.kill()
    await second.says(" работает: задач")
    await second.says("Задача stopped остановлена ещё до этого запуска")
    runs = len(stage.runs("task"))
    await until(lambda: len(stage.runs("task")) > runs, within=30)
    assert len(stage.runs("stopped")) == 1
    clean = await pool.fetch("SELECT id, clean FROM dozor.runners ORDER BY id")
    assert [tuple(row) for row in clean] == [(1, ending == "SIGTERM"), (2, None)]


# -- databases


async def test_a_foreign_database_with_a_stale_schema_is_refused_naming_the_command(
    stage: Stage, empty_database: str
) -> None:
    stage.write({"task": QUICK}, url=empty_database)
    await _ends_with(stage.run(), 1, "сначала выполните `dozor migrate`")
    answer = await stage.cli("status")
    assert answer.code == 1
    assert "dozor migrate" in answer.text
    check = await stage.cli("migrate", "--check")
    assert check.code == 1
    assert "надо применить: 0001_runner.sql" in check.text
    assert (await stage.cli("migrate")).code == 0
    assert (await stage.cli("migrate", "--check")).code == 0
    process = await stage.watch()
    assert await process.stop() == 0


@pytest.fixture
def tiny_disk(stage: Stage) -> Iterator[Path]:
    """A file system of 16 MB at `pg`; a cluster needs 40."""
    place = stage.folder / "pg"
    place.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("a small file system can only be mounted by root with the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_under_data_dir_says_what_to_do(stage: Stage, tiny_disk: Path) -> None:
    stage.write({"task": QUICK})
    process = stage.run()
    text = await _ends_with(process, 1, str(tiny_disk), "заполнен")
    assert len([line for line in text.splitlines() if line.startswith("dozor: ")]) == 1


async def test_an_unreachable_database_is_waited_for_then_given_up_in_one_line(stage: Stage) -> None:
    stage.write(stage.hasten({"wait_at_start": 2.0}), url="postgresql://dozor:S3cretPass@127.0.0.1:1/money")
    text = await _ends_with(stage.run(), 1, "; жду", "PostgreSQL на 127.0.0.1:1: там никто не слушает")
    assert len([line for line in text.splitlines() if line.startswith("dozor: ")]) == 1
    assert "S3cretPass" not in text
