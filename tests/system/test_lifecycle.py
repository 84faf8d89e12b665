"""Beginning and end of the process: signals, grace, what survives, what would not stop."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.stage import QUICK, Stage
from tests.system.telegram import section, texts
from tests.waiting import until

SLOW: dict[str, Any] = {"run": "scripted:obey", "every": "1h", "restart_delay": "200ms"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_runner_quickly_with_exit_0(
    stage: Stage, database: str, number: signal.Signals
) -> None:
    stage.write({"task": SLOW}, url=database)
    process = await stage.watch()
    process.signal(number)
    assert await process.ends(within=10) == 0
    assert f"{number.name}: завершаюсь; второй сигнал завершит сразу" in process.text
    assert "Traceback" not in process.text
    assert "дольше" not in process.text


async def test_a_signal_during_the_start_ends_it_with_exit_0(stage: Stage, postgres: str) -> None:
    """It waits for a server that is not there."""
    url = "postgresql://dozor@127.0.0.1:1/nowhere"
    stage.write({"task": SLOW}, url=url)
    process = stage.run()
    await process.says("; жду")
    assert await process.stop() == 0


async def test_runs_in_progress_are_asked_first_and_get_their_grace(
    stage: Stage, database: str, pool: Pool
) -> None:
    stage.write({"polite": SLOW, "hanging": SLOW}, url=database)
    stage.order("polite", "polite")
    stage.order("hanging", "hang")
    process = await stage.watch("--grace", "1")
    await until(lambda: bool(stage.runs("polite") and stage.runs("hanging")), within=30)
    process.signal(signal.SIGTERM)
    await until(lambda: stage.runs("polite")[-1] == "asked to stop", within=10)
    assert await process.ends() == 0
    assert "Фоновая задача hanging отменена" in process.text
    assert "Фоновая задача polite отменена" not in process.text
    rows = await pool.fetch("SELECT task, outcome FROM dozor.runs ORDER BY task")
    assert [tuple(row) for row in rows] == [("hanging", "cancelled"), ("polite", "succeeded")]
    streaks = await pool.fetch("SELECT state, consecutive_failures FROM dozor.tasks")
    assert {tuple(row) for row in streaks} == {("waiting", 0)}


async def test_what_would_not_stop_is_named_and_does_not_hold_up_the_end(stage: Stage, database: str) -> None:
    stage.write({"deaf": SLOW, "threaded": {**SLOW, "run": "scripted:sleep_in_thread"}}, url=database)
    stage.order("deaf", "deaf")
    process = await stage.watch("--grace", "0.5")
    await until(lambda: bool(stage.runs("deaf") and stage.runs("threaded")), within=30)
    assert await process.stop() == 0
    assert "Задача deaf не останавливается" in process.text
    assert "Задача threaded не останавливается" in process.text


async def test_a_second_signal_ends_at_once(stage: Stage, database: str) -> None:
    stage.write({"hanging": SLOW}, url=database)
    stage.order("hanging", "hang")
    process = await stage.watch("--grace", "60")
    await until(lambda: bool(stage.runs("hanging")), within=30)
    process.signal(signal.SIGTERM)
    await process.says("SIGTERM: завершаюсь")
    process.signal(signal.SIGINT)
    assert await process.ends(within=5) == 128 + signal.SIGINT
    assert "Второй сигнал: завершаюсь сразу" in process.text


async def test_an_alert_of_the_last_moment_leaves_before_the_end(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    stage.write({"task": {**SLOW, "max_consecutive_failures": 1}}, url=database, telegram=section(telegram))
    stage.order("task", "last-words")
    process = await stage.watch()
    await process.says("опрашиваю как")
    await until(lambda: bool(stage.runs("task")), within=30)
    assert await process.stop() == 0
    [text] = texts(telegram)
    assert "at the last moment" in text
    assert await pool.fetchval("SELECT state FROM dozor.notifications WHERE task IS NOT NULL") == "delivered"


async def test_after_sigterm_while_telegram_is_away_the_message_is_owed_and_sent_by_the_next(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    stage.write({"task": {**SLOW, "max_consecutive_failures": 1}}, url=database, telegram=section(telegram))
    stage.order("task", "fail for good")
    await telegram.stop()
    process = await stage.watch()
    await until_true(pool, "SELECT count(*) = 1 FROM dozor.notifications WHERE task IS NOT NULL", within=30)
    assert await process.stop() == 0
    await telegram.start()
    await stage.watch()
    # The start, which found the task stopped, has its say after it.
    await telegram.wait_until(lambda: len(texts(telegram)) == 2, timeout=30)
    assert texts(telegram)[0].startswith("🛑 task")
    assert texts(telegram)[1].startswith("⚠️ Дозор снова работает")


async def test_everything_known_of_a_task_survives_a_restart_of_the_process(
    stage: Stage, database: str, pool: Pool
) -> None:
    tasks = {"stopped": QUICK, "failing": {**QUICK, "restart_delay": "1h"}, "well": SLOW, "paused": SLOW}
    stage.write(tasks, url=database)
    process = await stage.watch()
    for name in ("stopped", "failing"):
        await until(lambda: bool(stage.runs(name)), within=30)  # noqa: B023
        stage.order(name, f"fail {name} fell over")
    assert (await stage.cli("pause", "paused")).code == 0
    await until_true(pool, "SELECT state = 'stopped' FROM dozor.tasks WHERE name = 'stopped'", within=30)
    await until_true(pool, "SELECT state = 'backoff' FROM dozor.tasks WHERE name = 'failing'", within=30)
    kept = (
        "SELECT name, state, consecutive_failures, runs_total, failures_total, last_started_at, "
        "last_success_at, failing_since, last_failed_at, last_error_type, last_error_text, "
        "last_error_where, state_by FROM dozor.tasks ORDER BY position"
    )
    await until_true(pool, "SELECT last_success_at IS NOT NULL FROM dozor.tasks WHERE name = 'well'")
    assert await process.stop() == 0
    before = await pool.fetch(kept)
    assert [row["consecutive_failures"] for row in before] == [5, 1, 0, 0]
    runs = {name: stage.runs(name) for name in tasks}

    again = await stage.watch()
    await again.says(
        "Задача stopped остановлена ещё до этого запуска, ошибок подряд: 5: dozor restart stopped"
    )
    await again.says("Задача paused на паузе (cli:")
    answer = await stage.cli("status")
    assert answer.code == 1
    assert "stopped" in answer.text
    assert "5/5" in answer.text
    card = await stage.status("stopped")
    assert card["state"] == "stopped"
    assert card["last_error"] == "RuntimeError: stopped fell over"
    assert card["last_success_at"] is not None
    assert await pool.fetch(kept) == before
    assert {name: stage.runs(name) for name in tasks} == runs

    # And from there it goes on as if nothing had been: the person brings it back.
    stage.order("stopped", "succeed")
    assert (await stage.cli("restart", "stopped")).code == 0
    await until(lambda: len(stage.runs("stopped")) > len(runs["stopped"]), within=30)
    assert "attempt 1 " in stage.runs("stopped")[len(runs["stopped"])]


async def test_the_streak_goes_on_after_a_restart_instead_of_beginning_anew(
    stage: Stage, database: str, pool: Pool
) -> None:
    stage.write({"task": {**QUICK, "restart_delay": "500ms"}}, url=database)
    stage.order("task", "fail")
    process = await stage.watch()
    await process.says("(попытка 2/5)")
    process.kill()
    again = await stage.watch()
    await again.says("Фоновая задача task остановлена после 5 последовательных ошибок")
    assert "(попытка 1/5)" not in again.text
    assert len(stage.runs("task")) in (5, 6)  # the killed run was counted or not
    # The line is printed as it happens; the row follows with the next write.
    await until_true(pool, "SELECT state = 'stopped' AND consecutive_failures = 5 FROM dozor.tasks")
