"""The real process: runs that hang, block the loop, suppress cancellation, or send no heartbeat."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.bot.botapi.server import BotApi
from tests.system.process import PATIENCE
from tests.system.stage import Stage
from tests.system.telegram import chat_has, section, texts
from tests.waiting import until

HEALTHY = {"run": "troubled:tick", "every": "100ms"}


def one_with(telegram: BotApi, *words: str) -> str:
    """The first message with all of these words."""
    return next(text for text in texts(telegram) if all(word in text for word in words))


async def test_a_hang_in_a_socket_read_is_told_with_its_chain(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hangs = {
        "run": "troubled:hang_on_socket",
        "args": {"port": port},
        "every": "1h",
        "timeout": "1s",
        "restart_delay": "100ms",
        "max_consecutive_failures": 1,
    }
    stage.write({"ton_deposits": hangs}, url=database, telegram=section(telegram))
    async with server:
        process = await stage.watch()
        await chat_has(telegram, "🛑 ton_deposits")
    text = one_with(telegram, "🛑", "ton_deposits")
    print(text)
    chain = [part.strip() for part in text.partition("стоял здесь: ")[2].splitlines()[0].split("→")]
    assert [link.rpartition(" in ")[2] for link in chain[:2]] == ["hang_on_socket", "ask_provider"]
    assert chain[-1].endswith("in _wait_for_data")
    assert "troubled.py" in text
    assert "дольше своего timeout, 1 с" in process.text


async def test_a_blocked_loop_is_told_while_it_is_blocked_with_the_right_name_of_fifty(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    tasks: dict[str, Any] = {f"checker_{number}": dict(HEALTHY) for number in range(50)}
    tasks["checker_31"] = {"run": "troubled:block", "args": {"seconds": 6}, "every": "1h"}
    stage.write(tasks, url=database, telegram=section(telegram))
    await stage.watch()
    await until(lambda: bool(stage.runs("checker_31")), within=PATIENCE)
    began = float(stage.runs("checker_31")[0].split()[1])
    await telegram.wait_until(lambda: bool(texts(telegram)), timeout=10, what="an alarm")
    after = time.time() - began
    print(f"told after {after:.2f} s:\n{texts(telegram)[0]}")
    assert after < 3.0
    assert "checker_31" in texts(telegram)[0]
    assert "заблокирован уже" in texts(telegram)[0]
    assert "in recompute" in texts(telegram)[0]
    assert all(
        stage.runs(f"checker_{n}") == [] or float(stage.runs(f"checker_{n}")[-1]) < began + 1 for n in (1, 49)
    )
    # When it speaks again: how long, by whom, and that it is over.
    await telegram.wait_until(lambda: len(texts(telegram)) >= 2, timeout=40, what="what it was")
    for text in texts(telegram)[1:]:
        print(text)
    assert any("checker_31" in text and "6 с" in text for text in texts(telegram)[1:])


@pytest.mark.usefixtures("quick_end")
async def test_swallowed_cancellation_is_told_and_the_task_never_runs_twice(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    tasks = {
        "deaf": {"run": "troubled:deaf", "every": "1s", "timeout": "500ms"},
        "other": dict(HEALTHY),
    }
    stage.write(tasks, url=database, telegram=section(telegram), supervision={"cancel_patience": "500ms"})
    process = await stage.watch("--grace", "1")
    await telegram.wait_until(
        lambda: any("deaf" in text for text in texts(telegram)), timeout=30, what="told"
    )
    text = one_with(telegram, "deaf")
    print(text)
    assert "in deaf" in text
    before = len(stage.runs("other"))
    await until(lambda: len(stage.runs("other")) > before + 10, within=PATIENCE)
    assert stage.runs("deaf") == ["begins"]
    await process.says("отменяю ещё раз")
    assert (await process.stop()) == 0


@pytest.mark.usefixtures("quick_end")
async def test_on_hang_exit_ends_the_process_for_the_service_manager(stage: Stage, database: str) -> None:
    deaf = {"run": "troubled:deaf", "every": "1s", "timeout": "500ms", "on_hang": "exit"}
    stage.write({"deaf": deaf}, url=database, supervision={"cancel_patience": "300ms"})
    process = await stage.watch("--grace", "1")
    assert await process.ends() == 70
    assert "запуск задачи deaf не заканчивается (on_hang: exit)" in process.text


@pytest.mark.parametrize("key", ["heartbeat_timeout", "overdue_after"])
async def test_a_continuous_checker_that_falls_silent_is_told(
    stage: Stage, telegram: BotApi, database: str, key: str
) -> None:
    silent = {
        "run": "troubled:silent",
        key: "1s",
        "restart_delay": "100ms",
        "alerts": {"repeated_errors": 1},
    }
    stage.write({"silent": silent}, url=database, telegram=section(telegram))
    await stage.watch()
    await telegram.wait_until(lambda: bool(texts(telegram)), timeout=30, what="told")
    print(texts(telegram)[0])
    assert "silent" in texts(telegram)[0]
    if key == "heartbeat_timeout":
        assert "нет heartbeat дольше своего предела, 1 с" in texts(telegram)[0]
