"""`isolation: process`: what a checker starts ends with its process; a dead process is noticed by its pid."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dozor.config.sections.tasks import Every, Isolation
from dozor.log_writer import DROPPED_LINES
from dozor.supervision.core.events import Restart
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.process.output import LineBudget
from tests.supervision import family_checkers
from tests.supervision.stage import is_stopped, spec, supervising
from tests.supervision.test_process import START, _host
from tests.waiting import stretched, until

HELPERS = 3


async def nothing() -> None:
    pass


def isolated(name: str, function: Callable[..., Any], **given: Any) -> TaskSpec:
    reference = f"family_checkers:{function.__name__}"
    return spec(name, function, isolation=Isolation.PROCESS, reference=reference, **given)


def helpers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and _state(pid) != psutil.STATUS_ZOMBIE]


def _state(pid: int) -> str:
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


async def test_a_crash_is_noticed_at_once_although_helpers_hold_the_pipes(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    dies = isolated("dies", family_checkers.crash, args={"path": str(path)}, max_consecutive_failures=1)
    async with supervising(dies) as (supervisor, seen):
        await until(lambda: len(helpers(path)) == HELPERS, within=START)
        began = time.monotonic()
        await until(is_stopped(supervisor, "dies"), within=START)
        assert time.monotonic() - began < 5.0  # the helpers sleep for ten minutes
        [failure] = seen.failures("dies")
        assert "killed by SIGABRT in the middle of a run" in failure.error_text
        assert alive(helpers(path)) == []


async def test_at_its_time_limit_everything_it_has_started_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    hangs = isolated(
        "hangs",
        family_checkers.hang,
        args={"path": str(path)},
        timeout=stretched(3.0),
        max_consecutive_failures=1,
    )
    async with supervising(hangs, patience=10.0) as (supervisor, seen):
        await until(is_stopped(supervisor, "hangs"), within=START)
        [failure] = seen.failures("hangs")
        assert failure.timed_out
        assert len(helpers(path)) == HELPERS
        assert alive(helpers(path)) == []


async def test_replacement_and_end_leave_nothing_behind(tmp_path: Path) -> None:
    worn, kept = tmp_path / "worn", tmp_path / "kept"
    tasks = (
        isolated("worn", family_checkers.once, args={"path": str(worn)}, max_runs=1),
        isolated("kept", family_checkers.once, args={"path": str(kept)}),
    )
    async with supervising(*tasks) as (_, seen):
        await until(lambda: seen.successes.get("worn", 0) >= 2, within=START)
        await until(lambda: seen.successes.get("kept", 0) >= 2, within=START)
        assert len(helpers(worn)) == HELPERS
        await until(lambda: not alive(helpers(worn)), within=5)
        assert len(alive(helpers(kept))) == HELPERS, "between two runs it may keep its browser"
    assert alive(helpers(kept)) == []


async def test_helpers_end_with_a_runner_that_is_killed(tmp_path: Path) -> None:
    path, script = tmp_path / "pids", tmp_path / "host.py"
    script.write_text(
        "import asyncio, sys\n"
        "from tests.supervision.stage import supervising\n"
        "from tests.supervision.test_process_family import isolated\n"
        "from tests.supervision import family_checkers as checkers\n"
        "async def main():\n"
        f"    own = isolated('own', checkers.hang, args={{'path': {str(path)!r}}})\n"
        "    async with supervising(own):\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    host = _host(script)
    try:
        await until(lambda: len(alive(helpers(path))) == HELPERS, within=START)
        host.send_signal(signal.SIGKILL)
        host.wait()
        await until(lambda: not alive(helpers(path)), within=10)
    finally:
        host.kill()
        host.wait()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (family_checkers.close_everything, "its process was ended with exit code"),
        (family_checkers.close_the_connection, "the connection to the runner was closed by the checker"),
    ],
)
async def test_a_checker_that_closes_its_connection_has_failed(
    function: Callable[..., Any], said: str
) -> None:
    parts = isolated("parts", function, max_consecutive_failures=1)
    async with supervising(parts) as (supervisor, seen):
        await until(is_stopped(supervisor, "parts"), within=START)
        [failure] = seen.failures("parts")
    assert said in failure.error_text


async def test_a_flood_of_output_is_logged_at_a_bounded_rate_and_counted(
    tmp_path: Path, logged: list[str]
) -> None:
    path = tmp_path / "done"
    shouts = isolated("shouts", family_checkers.shout, args={"path": str(path)}, max_consecutive_failures=1)
    before = DROPPED_LINES.total
    async with supervising(shouts) as (supervisor, seen):
        await until(is_stopped(supervisor, "shouts"), within=START)
        [failure] = seen.failures("shouts")
    assert "the last line" in failure.traceback, "its last words are kept, logged or not"
    assert sum("debug: x" in line for line in logged) < 3_000
    assert DROPPED_LINES.total > before
    assert any("lines of its output that were not logged" in line for line in logged)


async def test_a_flood_of_log_lines_is_dropped_in_the_process(logged: list[str]) -> None:
    talks = isolated("talks", family_checkers.log_a_lot)
    before = DROPPED_LINES.total
    async with supervising(talks) as (_, seen):
        await until(lambda: seen.successes.get("talks", 0) >= 2, within=START)
    assert sum(line.startswith("line ") for line in logged) < 10_000
    assert DROPPED_LINES.total > before


@pytest.mark.parametrize("isolation", [Isolation.PROCESS, Isolation.THREAD])
async def test_a_million_reports_of_progress_delay_nobody_and_the_last_one_counts(
    isolation: Isolation,
) -> None:
    rows = 300_000
    counts = spec(
        "counts",
        family_checkers.count,
        isolation=isolation,
        reference="family_checkers:count",
        args={"rows": rows},
        schedule=Every(600.0),
    )
    async with supervising(counts, spec("other", nothing)) as (supervisor, seen):
        await until(lambda: seen.successes.get("counts", 0) == 1, within=60)
        task = supervisor.find("counts")
        assert task is not None
        row = task.row()
        assert (row.progress_done, row.progress_total, row.backlog_size) == (rows, rows, 7)
        before = seen.successes["other"]
        await until(lambda: seen.successes["other"] > before + 5, within=5)


async def test_withheld_variables_are_not_there_and_a_key_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seen"
    monkeypatch.setenv("BOT_TOKEN", "1234567:of-the-tests")
    monkeypatch.setenv("DOZOR_TEST_KEPT", "kept")
    monkeypatch.setenv("DOZOR_TEST_BACK", "back")
    asks = isolated(
        "asks",
        family_checkers.environment,
        args={"path": str(path)},
        env=("DOZOR_TEST_BACK",),
        max_consecutive_failures=1,
    )
    withheld = frozenset(("BOT_TOKEN", "DOZOR_TEST_BACK"))
    async with supervising(asks, withheld=withheld) as (supervisor, seen):
        await until(is_stopped(supervisor, "asks"), within=START)
        [failure] = seen.failures("asks")
    assert path.read_text() == "kept back None"
    assert failure.error_type == "KeyError"
    assert "BOT_TOKEN is withheld from the process of this task" in failure.error_text
    assert "env: [BOT_TOKEN]" in failure.error_text


async def test_a_module_that_hangs_at_import_fails_its_task_and_delays_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor.supervision.execution.process.client.SLOT_SECONDS", 0.5)
    monkeypatch.setattr("dozor.supervision.execution.process.client.START_SECONDS", 3.0)
    (tmp_path / "hangs_at_import.py").write_text("import threading\nthreading.Event().wait(600)\n")
    (tmp_path / "comes_up.py").write_text("async def check():\n    pass\n")
    hung = [
        spec(
            f"hung{number}",
            nothing,
            isolation=Isolation.PROCESS,
            reference="hangs_at_import:check",
            max_consecutive_failures=1,
        )
        for number in range(3)
    ]
    fine = spec("fine", nothing, isolation=Isolation.PROCESS, reference="comes_up:check")
    async with supervising(*hung, fine, folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "hung0"), within=START)
        await until(lambda: seen.successes.get("fine", 0) >= 1, within=START)
        [failure] = seen.failures("hung0")
    assert "the import of module hangs_at_import does not end within 3 s" in failure.error_text


async def test_a_task_found_unusable_stops_at_once_and_a_restart_tries_again(tmp_path: Path) -> None:
    (tmp_path / "was_hung.py").write_text("async def check():\n    pass\n")
    task = spec(
        "was_hung", nothing, isolation=Isolation.PROCESS, reference="was_hung:check", unusable="it hung"
    )
    async with supervising(task, folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "was_hung"), within=START)
        [failure] = seen.failures("was_hung")
        assert (failure.error_text, failure.fatal) == ("it hung", True)
        supervisor.command("was_hung", Restart("cli:ann"))
        await until(lambda: seen.successes.get("was_hung", 0) >= 1, within=START)


def test_the_budget_of_lines_allows_a_burst_and_then_the_rate() -> None:
    budget = LineBudget(0.0, rate=10.0, most=20)
    assert budget.take(50, 0.0) == 20
    assert budget.take(50, 0.5) == 5
    assert budget.take(2, 1.0) == 2
    assert budget.take(50, 100.0) == 20
