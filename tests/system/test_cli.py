"""The command line: exit codes, the shape of its JSON, the door it shares with the bot."""

from __future__ import annotations

import getpass
import socket
from datetime import datetime
from typing import Any

from dozor.storage.postgres.pool import Pool
from tests.bot.executor import until_true
from tests.system.stage import QUICK, Stage
from tests.waiting import until

IDLE: dict[str, Any] = {"run": "scripted:obey", "every": "1h", "restart_delay": "100ms"}
TASK_KEYS = {
    "name": str,
    "state": str,
    "consecutive_failures": int,
    "max_consecutive_failures": int | None,
    "runs_total": int,
    "failures_total": int,
    "last_started_at": str | None,
    "last_success_at": str | None,
    "last_error": str | None,
    "next_run_at": str | None,
    "running_for_s": float | int | None,
    "progress": dict | None,
}
TIMES = ("last_started_at", "last_success_at", "next_run_at")
ACTING = ("restart", "pause", "resume", "run-now")


def _is_utc(text: str) -> bool:
    at = datetime.fromisoformat(text)
    return at.utcoffset() is not None and at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


async def test_status_as_json_has_the_agreed_shape(stage: Stage, database: str, pool: Pool) -> None:
    stage.write({"well": IDLE, "broken": IDLE, "endless": {"run": "scripted:obey"}}, url=database)
    stage.order("broken", "fail provider is away")
    stage.order("endless", "hang")
    await stage.watch()
    await until_true(pool, "SELECT state = 'stopped' FROM dozor.tasks WHERE name = 'broken'", within=30)
    await until_true(pool, "SELECT last_success_at IS NOT NULL FROM dozor.tasks WHERE name = 'well'")
    answer = await stage.cli("status", "--json")
    assert answer.code == 1
    report = answer.json
    assert set(report) == {"runner", "tasks", "alerts"}
    assert report["runner"]["id"] == 1
    assert report["runner"]["role"] == "all"
    assert _is_utc(report["runner"]["started_at"])
    assert report["runner"]["version"]
    assert report["alerts"] == {"pending": 0, "oldest_pending_s": None}
    assert [task["name"] for task in report["tasks"]] == ["well", "broken", "endless"]
    for task in report["tasks"]:
        for key, kind in TASK_KEYS.items():
            assert isinstance(task[key], kind), (key, task[key])
        assert all(task[key] is None or _is_utc(task[key]) for key in TIMES)
    well, broken, endless = report["tasks"]
    assert (well["state"], well["runs_total"], well["failures_total"]) == ("waiting", 1, 0)
    assert (broken["state"], broken["consecutive_failures"], broken["next_run_at"]) == ("stopped", 5, None)
    assert broken["last_error"] == "RuntimeError: provider is away"
    assert endless["state"] == "running"
    assert endless["running_for_s"] >= 0
    # One task: its own verdict.
    assert (await stage.cli("status", "well")).code == 0
    assert (await stage.cli("status", "broken", "--json")).code == 1
    unknown = await stage.cli("status", "nobody")
    assert unknown.code == 1
    assert "nobody" in unknown.text


async def test_acting_commands_change_the_task_and_say_so(stage: Stage, database: str, pool: Pool) -> None:
    stage.write({"task": IDLE, "off": {**IDLE, "enabled": False}}, url=database)
    process = await stage.watch()
    await until(lambda: len(stage.runs("task")) == 1, within=30)

    async def act(command: str, *, code: int = 0, says: str = "", name: str = "task") -> None:
        answer = await stage.cli(command, name)
        assert (answer.code, says in answer.text) == (code, True), answer.text
        assert len(answer.text.strip().splitlines()) == 1

    await act("pause", says="состояние: пауза")
    await act("pause", says="делать нечего, состояние: пауза")
    await act("run-now")
    await until(lambda: len(stage.runs("task")) == 2, within=30)
    await until_true(pool, "SELECT state = 'paused' AND running_since IS NULL FROM dozor.tasks LIMIT 1")
    await act("resume")
    await until(lambda: len(stage.runs("task")) == 3, within=30)
    await act("resume", says="делать нечего")
    await act("restart")
    await until(lambda: len(stage.runs("task")) == 4, within=30)
    for command in ACTING:
        await act(command, name="nobody", code=1, says="Задачи nobody нет")
        await act(command, name="off", code=1, says="отключена")
    actor = f"cli:{getpass.getuser()}@{socket.gethostname()}"
    actors = await pool.fetch("SELECT DISTINCT actor, state FROM dozor.commands WHERE task = 'task'")
    assert [tuple(row) for row in actors] == [(actor, "done")]
    assert f"Команда pause task от {actor}: done" in process.text


async def test_without_a_runner_a_command_is_refused_and_never_carried_out_later(
    stage: Stage, database: str, pool: Pool
) -> None:
    stage.write({"task": {**IDLE, "max_consecutive_failures": 1}}, url=database)
    stage.order("task", "fail")
    process = await stage.watch()
    await process.says("остановлена после 1")
    assert await process.stop() == 0
    for command in ACTING:
        answer = await stage.cli(command, "task", "--timeout", "30")
        assert answer.code == 1
        assert "С этой базой не работает ни один раннер: запустите его, `dozor run`" in answer.text
    assert await pool.fetchval("SELECT count(*) FROM dozor.commands") == 0
    again = await stage.watch()
    assert (await stage.cli("pause", "task")).code == 0  # by now it has looked at what was there
    assert await again.stop() == 0
    assert again.text.count("Команда ") == 1
    assert len(stage.runs("task")) == 1


async def test_status_of_a_dead_runner_says_so_and_shows_what_it_left(stage: Stage, database: str) -> None:
    stage.write({"task": IDLE}, url=database)
    never = await stage.cli("status")
    assert (never.code, "С этой базой раннер ещё не работал" in never.text) == (3, True)
    process = await stage.watch()
    await until(lambda: len(stage.runs("task")) == 1, within=30)
    assert await process.stop() == 0
    answer = await stage.cli("status")
    assert answer.code == 3
    assert "снова через" not in answer.text
    assert "Раннер не работает: последний признак жизни раннера 1 был" in answer.text
    assert "task" in answer.text
    report = (await stage.cli("status", "--json")).json
    assert (report["runner"]["role"], report["runner"]["alive"]) == ("gone", False)
    assert [task["next_run_at"] for task in report["tasks"]] == [None]


async def test_history_and_incidents_tell_the_past(stage: Stage, database: str, pool: Pool) -> None:
    stage.write({"task": QUICK}, url=database)
    assert (await stage.cli("history", "task")).code == 0
    assert (await stage.cli("incidents")).text.strip() == "Инцидентов нет"
    process = await stage.watch()
    await until(lambda: len(stage.runs("task")) > 3, within=30)
    stage.order("task", "fail provider is away")
    await process.says("🛑 task")
    stage.order("task", "succeed")
    assert (await stage.cli("restart", "task")).code == 0
    await process.says("✅ task")
    await until_true(pool, "SELECT state = 'resolved' FROM dozor.incidents")
    await until_true(pool, "SELECT outcome = 'succeeded' FROM dozor.runs ORDER BY finished_at DESC LIMIT 1")

    runs = (await stage.cli("history", "task", "--json")).json
    assert [run["outcome"] for run in runs] == ["succeeded", *["failed"] * 5, "succeeded"]
    assert [run["attempt"] for run in runs[1:6]] == [5, 4, 3, 2, 1]
    assert runs[6]["runs"] >= 3
    assert {run["error_type"] for run in runs[1:6]} == {"RuntimeError"}
    assert all(_is_utc(run["started_at"]) and run["seconds"] >= 0 for run in runs)
    text = (await stage.cli("history", "task")).text
    assert text.count("ошибка") == 5
    [incident] = (await stage.cli("incidents", "--json")).json
    assert incident["task"] == "task"
    assert (incident["kind"], incident["state"]) == ("critical_stop", "resolved")
    assert incident["resolved_by"].startswith("cli:")
    assert "RuntimeError: provider is away" in incident["summary"]
    assert "#1" in (await stage.cli("incidents")).text


async def test_help_lists_every_command_and_an_unknown_one_is_refused(stage: Stage) -> None:
    stage.write({"task": QUICK})
    check = await stage.cli("check")
    assert (check.code, "1 задача, всё в порядке" in check.text) == (0, True)
    nonsense = await stage.cli("nonsense")
    assert nonsense.code == 2
    assert "Ошибка: Команды" in nonsense.text
