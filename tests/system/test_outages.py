"""Telegram or PostgreSQL away, frozen or killed: nothing is lost, and nothing is blamed on a checker."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import asyncpg
import psutil
import pytest

from dozor.storage.postgres.pool import Pool, connect, disconnect
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.effort import cases
from tests.server import PostgresControl
from tests.system.process import Process
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, DUPLICATE, chat_has, section, texts
from tests.templates import Templates
from tests.waiting import until

OUTAGE = cases(2, 6, variable="DOZOR_TEST_OUTAGE_SECONDS")
"""Seconds that PostgreSQL is away; the whole campaign takes 30."""
TOLD = cases(4, 9)
"""Alerts of each of two tasks."""


async def test_alerts_of_a_telegram_outage_all_arrive_in_order_per_task(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    """To a private chat, whose pace is a message a second."""
    once = {**QUICK, "every": "1h"}
    tasks = {"talker": once, "chatterbox": once, "failing": once}
    stage.write(tasks, url=database, telegram=section(telegram, chat=ADMIN))
    process = await stage.watch()
    await process.says("опрашиваю как")
    await telegram.stop()
    stage.order("talker", f"alerts {TOLD}")
    stage.order("chatterbox", f"alerts {TOLD}")
    stage.order("failing", "fail the provider is away")
    for name in tasks:
        assert (await stage.cli("run-now", name)).code == 0
    owed = f"SELECT count(*) = {2 * TOLD + 2} FROM dozor.notifications WHERE task IS NOT NULL"
    await until_true(pool, owed, within=30)
    # It has really tried, and nothing has arrived.
    await until_true(pool, "SELECT bool_or(attempts > 0) FROM dozor.notifications", within=30)
    assert texts(telegram, ADMIN) == []

    await telegram.start()
    left = "SELECT count(*) = 0 FROM dozor.notifications WHERE state IN ('pending', 'sending')"
    await until_true(pool, left, within=90)
    said = texts(telegram, ADMIN)
    for name in ("talker", "chatterbox"):
        numbers = [text.split(f"{name} says ")[1][0] for text in said if f"{name} says " in text]
        assert numbers == [str(number) for number in range(TOLD)]
    assert [text[0] for text in said if " failing" in text.split("\n")[0]] == ["⚠", "🛑"]
    assert not any(DUPLICATE in text for text in said)
    assert process.alive


# -- PostgreSQL

LOAD = {
    "bystander": QUICK,
    "needs_database": {**QUICK, "run": "scripted:use_database", "requires": ["database"]},
    "uses_database": {**QUICK, "run": "scripted:use_database"},
    "failing": {**QUICK, "every": "1h"},
    **{f"load_{number}": {**QUICK, "run": "scripted:use_database"} for number in range(20)},
}
IMPATIENT = {"restart_delay": "200ms", "max_consecutive_failures": 3}
"""Three failures of our own making would stop such a task within a second."""
GOING_SQL = """
SELECT bool_and(state IN ('waiting', 'running')) FROM dozor.tasks
WHERE name NOT IN ('bystander', 'failing', 'haste')
"""


async def _under_load(stage: Stage, telegram: BotApi, control: PostgresControl) -> Process:
    tasks = {name: {**task, **IMPATIENT} for name, task in LOAD.items()}
    haste = stage.hasten({"write_timeout": 5.0, "database_down_for": 5.0})
    stage.write({**tasks, **haste}, url=control.dsn, telegram=section(telegram))
    process = await stage.watch()
    await process.says("опрашиваю как")
    await until(lambda: all(len(stage.runs(name)) > 2 for name in LOAD if name != "failing"), within=30)
    return process


async def _break_during_the_outage(stage: Stage) -> None:
    """A checker without a database fails three times: its stop must be known after the outage."""
    runs = len(stage.runs("bystander"))
    stage.order("bystander", "fail while the database is away")
    await until(lambda: len(stage.runs("bystander")) >= runs + 3, within=30)


async def _nothing_is_lost(
    stage: Stage, telegram: BotApi, control: PostgresControl, process: Process
) -> None:
    """The bystander's stop, its history, incident and message; everybody else runs on, unblamed."""
    await chat_has(telegram, "🛑 bystander", within=60)
    before = {name: len(stage.runs(name)) for name in LOAD}
    going = [name for name in LOAD if name not in ("bystander", "failing")]
    await until(lambda: all(len(stage.runs(name)) > before[name] + 1 for name in going), within=60)
    connection = await connect(control.dsn)
    try:
        await until_true(connection, GOING_SQL, within=30)  # the database is a checkpoint behind
        tasks = {row["name"]: row for row in await connection.fetch("SELECT * FROM dozor.tasks")}
        assert tasks["bystander"]["state"] == "stopped"
        assert tasks["bystander"]["consecutive_failures"] == 3
        for name in going:
            assert tasks[name]["consecutive_failures"] == 0, tasks[name]
        failed = "SELECT count(*) FROM dozor.runs WHERE task = 'bystander' AND outcome = 'failed'"
        assert await connection.fetchval(failed) == 3
        blamed = "SELECT task, error_type FROM dozor.runs WHERE outcome = 'failed' AND task <> 'bystander'"
        assert await connection.fetch(blamed) == []
        incidents = await connection.fetch(
            "SELECT task, kind, state FROM dozor.incidents WHERE task IS NOT NULL"
        )
        assert [tuple(row) for row in incidents] == [("bystander", "critical_stop", "open")]
        # During a long outage it may have gone straight from memory: its row is settled after.
        told = "FROM dozor.notifications WHERE task IS NOT NULL"
        await until_true(connection, f"SELECT bool_and(state = 'delivered') {told}", within=30)
        kinds = await connection.fetch(f"SELECT kind {told}")
        assert [row["kind"] for row in kinds] == ["critical_stop"]
    finally:
        await disconnect(connection)
    assert len([text for text in texts(telegram) if "bystander" in text]) == 1
    assert process.alive


async def test_postgresql_stopped_under_load_and_started_again(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    process = await _under_load(stage, telegram, postgres_control)
    await asyncio.to_thread(postgres_control.stop)
    await process.says("База данных недоступна")
    await _break_during_the_outage(stage)
    await asyncio.sleep(OUTAGE)  # the outage itself, not a wait for something
    assert process.alive
    await asyncio.to_thread(postgres_control.start)
    await process.says("База данных снова доступна")
    await _nothing_is_lost(stage, telegram, postgres_control, process)
    assert await process.stop() == 0


async def test_postgresql_frozen_under_load_and_thawed(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    process = await _under_load(stage, telegram, postgres_control)
    postgres_control.freeze()
    await _break_during_the_outage(stage)
    await process.says("База данных недоступна", within=60)
    postgres_control.thaw()
    await process.says("База данных снова доступна", within=60)
    await _nothing_is_lost(stage, telegram, postgres_control, process)


async def test_every_session_terminated_at_once(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    process = await _under_load(stage, telegram, postgres_control)
    connection = await connect(postgres_control.dsn)
    terminate = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'dozor%' "
        "AND pid <> pg_backend_pid()"
    )
    for _ in range(3):
        assert await connection.fetchval(terminate) > 0
        before = len(stage.runs("needs_database"))
        await until(lambda: len(stage.runs("needs_database")) > before + 1, within=30)  # noqa: B023
    await disconnect(connection)
    await _break_during_the_outage(stage)
    await _nothing_is_lost(stage, telegram, postgres_control, process)


async def test_the_embedded_server_killed_under_the_runner_is_started_again(
    stage: Stage, templates: Templates
) -> None:
    templates.copy_migrated(stage.folder / "pg")
    tasks = {
        "needs_database": {**QUICK, **IMPATIENT, "run": "scripted:use_database", "requires": ["database"]},
        "uses_database": {**QUICK, **IMPATIENT, "run": "scripted:use_database"},
        "bystander": {**QUICK, **IMPATIENT},
    }
    stage.write(tasks)
    process = await stage.watch()
    await until(lambda: all(len(stage.runs(name)) > 1 for name in tasks), within=30)
    server = _server(stage.folder / "pg")
    family = [server, *server.children(recursive=True)]
    server.send_signal(signal.SIGKILL)
    await _break_during_the_outage(stage)
    await process.says("запущен снова", within=60)
    await process.says("База данных снова доступна", within=60)
    psutil.wait_procs(family, timeout=10)
    for name in ("needs_database", "uses_database"):
        before = len(stage.runs(name))
        await until(lambda: len(stage.runs(name)) > before + 1, within=30)  # noqa: B023
        assert (await stage.status(name))["consecutive_failures"] == 0
    assert (await stage.status("bystander"))["state"] == "stopped"
    await process.says("🛑 bystander")
    assert await process.stop() == 0


def _server(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "data" / "postmaster.pid").read_text().split()[0]))


@pytest.mark.parametrize("requires", [["database"], []])
async def test_a_mistake_of_the_checker_in_the_database_still_counts(
    stage: Stage, database: str, pool: Pool, requires: list[str]
) -> None:
    """Only an outage excuses: with the database there, a failing statement is the checker's own failure."""
    (stage.folder / "wrong.py").write_text(
        "async def ask(ctx):\n    await ctx.db.fetchval('SELECT nonsense')\n"
    )
    stage.write({"wrong": {**QUICK, **IMPATIENT, "run": "wrong:ask", "requires": requires}}, url=database)
    process = await stage.watch()
    await until_true(pool, "SELECT state = 'stopped' FROM dozor.tasks", within=30)
    error = await pool.fetchval("SELECT last_error_type FROM dozor.tasks")
    assert error == asyncpg.UndefinedColumnError.__name__
    await process.says("Фоновая задача wrong остановлена после 3 последовательных ошибок")
