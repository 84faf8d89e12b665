"""The real process: what its tasks require goes away and comes back, and no failure is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.bot.botapi.server import BotApi
from tests.effort import cases
from tests.server import PostgresControl
from tests.system.process import PATIENCE
from tests.system.stage import Stage
from tests.system.telegram import chat_has, section, texts
from tests.waiting import until

IMPATIENT: dict[str, Any] = {
    "every": "100ms",
    "restart_delay": "100ms",
    "max_consecutive_failures": 5,
}


def more_runs(stage: Stage, name: str, than: int) -> Callable[[], bool]:
    return lambda: len(stage.runs(name)) > than


async def test_a_long_outage_of_the_database_stops_nothing(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    """Fifty failures where five would stop a task; in `make soak` as many as in six minutes."""
    asking = {**IMPATIENT, "run": "troubled:ask_database"}
    tasks = {
        "requires": {**asking, "requires": ["database"]},
        "only_uses": asking,
        "own_process": {**asking, "isolation": "process"},
    }
    stage.write(tasks, url=postgres_control.dsn, telegram=section(telegram))
    process = await stage.watch()
    for name in tasks:
        await until(more_runs(stage, name, 3), within=PATIENCE)
    postgres_control.stop()
    await process.says("База данных недоступна")
    await asyncio.sleep(cases(5, 36))  # the outage itself
    counts = {name: len(stage.runs(name)) for name in tasks}
    postgres_control.start()
    for name in tasks:
        await until(more_runs(stage, name, counts[name] + 3), within=2 * PATIENCE)
    await process.says("База данных снова доступна")
    for name in tasks:
        status = await stage.status(name)
        print(name, status["state"], status["consecutive_failures"], status["failures_total"])
        assert status["state"] in ("waiting", "running")
        assert status["consecutive_failures"] == 0
    assert "остановлена" not in process.text
    print("\n".join(texts(telegram)))


async def test_a_named_dependency_holds_its_tasks_and_one_incident_says_which(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ticking = {**IMPATIENT, "run": "troubled:tick", "requires": ["ton_provider"]}
    stage.write(
        {"deposits": ticking, "withdrawals": ticking, "auctions": {**IMPATIENT, "run": "troubled:tick"}},
        url=database,
        telegram=section(telegram),
        dependencies={"ton_provider": {"tcp": f"127.0.0.1:{port}", "every": "300ms"}},
    )
    process = await stage.watch()
    await until(lambda: len(stage.runs("deposits")) > 3, within=PATIENCE)
    server.close()
    await server.wait_closed()
    await telegram.wait_until(lambda: any("ton_provider" in text for text in texts(telegram)), timeout=30)
    text = next(text for text in texts(telegram) if "ton_provider" in text)
    print(text)
    assert "deposits" in text
    assert "withdrawals" in text
    assert "auctions" not in text
    held, going = len(stage.runs("deposits")), len(stage.runs("auctions"))
    await until(lambda: len(stage.runs("auctions")) > going + 10, within=PATIENCE)
    assert len(stage.runs("deposits")) == held
    assert (await stage.status("deposits"))["state"] == "held"
    again = await asyncio.start_server(serve, "127.0.0.1", port)
    async with again:
        await until(lambda: len(stage.runs("deposits")) > held + 3, within=PATIENCE)
        await chat_has(telegram, "✅")
    print(texts(telegram)[-1])
    assert len([text for text in texts(telegram) if "ton_provider" in text]) == 2
    await process.says("ton_provider снова доступно")


async def test_alternate_failures_are_stopped_by_the_window(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    every_other = {
        **IMPATIENT,
        "run": "troubled:alternate",
        "max_failures": {"count": 6, "within": "5m"},
    }
    stage.write({"shaky": every_other}, url=database, telegram=section(telegram))
    process = await stage.watch()
    await chat_has(telegram, "🛑 shaky")
    print(next(text for text in texts(telegram) if text.startswith("🛑 shaky")))
    status = await stage.status("shaky")
    assert status["state"] == "stopped"
    assert status["consecutive_failures"] == 1
    assert len(stage.runs("shaky")) == 11
    await process.says("Фоновая задача shaky остановлена: ошибок за 5m: 6")
