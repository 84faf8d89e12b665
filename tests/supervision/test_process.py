"""`isolation: process`: what a checker does in its own process, and what that does to nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from dozor.config.sections.tasks import Continuous, Every, Isolation
from dozor.supervision.core.events import Restart
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.runs.context import LONGEST_ALERT
from dozor.supervision.supervisor import Supervisor
from tests.supervision import process_checkers
from tests.supervision.stage import is_stopped, spec, state_of, supervising
from tests.waiting import stretched, until

T = TypeVar("T")

START = 30.0
"""Seconds a process may take to start on a busy machine."""


async def nothing() -> None:
    pass


def isolated(name: str, function: Callable[..., Any], **given: Any) -> TaskSpec:
    reference = f"process_checkers:{function.__name__}"
    return spec(name, function, isolation=Isolation.PROCESS, reference=reference, **given)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def pid_of(supervisor: Supervisor, name: str) -> int | None:
    task = supervisor.find(name)
    assert task is not None
    assert task.child is not None
    return task.child.pid


@pytest.mark.parametrize("function", [process_checkers.pid, process_checkers.plain])
async def test_runs_happen_in_one_warm_process(tmp_path: Path, function: Callable[..., Any]) -> None:
    path = tmp_path / "pids"
    async with supervising(isolated("own", function, args={"path": str(path)})) as (_, seen):
        await until(lambda: seen.successes.get("own", 0) >= 5, within=START)
    assert len(set(lines(path))) == 1
    assert str(os.getpid()) not in lines(path)


async def test_what_a_run_says_reaches_the_supervisor_and_it_hears_that_it_should_stop(
    tmp_path: Path,
) -> None:
    path = tmp_path / "said"
    talks = isolated("talks", process_checkers.speak, args={"path": str(path)}, schedule=Continuous())
    async with supervising(talks, grace=5.0) as (supervisor, seen):
        await until(lambda: bool(lines(path)), within=START)
        task = supervisor.find("talks")
        assert task is not None
        await until(lambda: len(seen.alerts) == 2)
        assert seen.alerts[0] == ("look here", "warning")
        assert seen.alerts[1] == (("ё\x00\ud800" * 1_000_000)[:LONGEST_ALERT], "critical")
        row = task.row()
        assert (row.progress_done, row.progress_total, row.backlog_size) == (3, 10, 42)
        assert row.backlog_oldest_at is not None
        assert lines(path) == ["7-1 1"]
        await supervisor.stop()
        assert lines(path)[1:] == ["stopping"]


async def test_it_has_a_connection_pool_of_its_own(tmp_path: Path, database: str) -> None:
    path = tmp_path / "said"
    asks = isolated("asks", process_checkers.ask_database, args={"path": str(path)}, schedule=Every(60.0))
    async with supervising(asks, dsn=database) as (_, seen):
        await until(lambda: seen.successes.get("asks", 0) == 1, within=START)
        commands = [" ".join(command) for command in of_children(psutil.Process.cmdline)]
    assert lines(path) == ["dozor asks"]
    assert not any(database in command for command in commands)


async def test_what_it_raises_fails_the_run_with_its_own_traceback() -> None:
    async with supervising(isolated("bad", process_checkers.fail)) as (supervisor, seen):
        await until(is_stopped(supervisor, "bad"), within=START)
        failure = seen.failures("bad")[0]
    assert (failure.error_type, failure.error_text) == ("ValueError", "no such lot")
    assert failure.where.startswith("process_checkers.py:")
    assert failure.where.endswith("in fail")
    assert 'raise ValueError("no such lot")' in failure.traceback


@pytest.mark.parametrize(
    ("function", "error_type"),
    [
        (process_checkers.slow_request, "TimeoutError"),
        (process_checkers.half_of_a_group, "ExceptionGroup"),
        (process_checkers.cancel_itself, "CancelledError"),
        (process_checkers.exit_in_callback, "SystemExit"),
    ],
)
async def test_asyncio_works_in_it_as_elsewhere(function: Callable[..., Any], error_type: str) -> None:
    async with supervising(isolated("bad", function)) as (supervisor, seen):
        await until(is_stopped(supervisor, "bad"), within=START)
        assert {failure.error_type for failure in seen.failures("bad")} == {error_type}
    assert "bad" not in seen.successes


async def test_an_exception_of_a_signal_handler_does_not_end_it() -> None:
    handles = isolated("handles", process_checkers.raise_in_signal_handler)
    async with supervising(handles) as (supervisor, seen):
        await until(lambda: seen.successes.get("handles", 0) >= 1, within=START)
        first = pid_of(supervisor, "handles")
        await until(lambda: seen.successes.get("handles", 0) >= 3, within=START)
        assert pid_of(supervisor, "handles") == first
    assert not seen.failures("handles")


async def test_a_fatal_error_stops_at_once_from_there_too() -> None:
    async with supervising(isolated("bad", process_checkers.give_up)) as (supervisor, seen):
        await until(is_stopped(supervisor, "bad"), within=START)
        assert len(seen.failures("bad")) == 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (process_checkers.segfault, "killed by SIGSEGV in the middle of a run"),
        (process_checkers.leave, "ended with exit code 3"),
        (process_checkers.killed, "killed by SIGKILL (not by the runner: out of memory?)"),
    ],
)
async def test_a_process_that_dies_is_a_clear_failure_and_hurts_nobody_else(
    function: Callable[..., Any], said: str
) -> None:
    dying = isolated("dying", function, max_consecutive_failures=2)
    async with supervising(dying, spec("other", nothing)) as (supervisor, seen):
        await until(is_stopped(supervisor, "dying"), within=START)
        before = seen.successes["other"]
        await until(lambda: seen.successes["other"] > before + 2)
        for failure in seen.failures("dying"):
            assert said in failure.error_text
    if function is process_checkers.segfault:
        assert "process_checkers.py" in seen.failures("dying")[0].where, "faulthandler saw where"


async def test_a_call_of_sys_exit_is_a_failure_and_the_process_lives_on() -> None:
    async with supervising(isolated("bad", process_checkers.exit_politely)) as (supervisor, seen):
        await until(is_stopped(supervisor, "bad"), within=START)
        assert {failure.error_type for failure in seen.failures("bad")} == {"SystemExit"}


async def test_a_run_beyond_its_timeout_ends_for_real_and_says_where_it_was() -> None:
    seconds = round(stretched(3.0))  # its process has to start within it
    cases = {
        "in deeper": process_checkers.sleep_for_ever,
        "in deaf": process_checkers.deaf,
        "in block_the_loop": process_checkers.block_the_loop,
    }
    slow = [
        isolated(where, function, timeout=float(seconds), max_consecutive_failures=1)
        for where, function in cases.items()
    ]
    async with supervising(*slow, patience=10.0) as (supervisor, seen):
        for where in cases:
            await until(is_stopped(supervisor, where), within=START)
            failure = seen.failures(where)[0]
            assert failure.timed_out
            assert f"took longer than its timeout of {seconds} s; it was at " in failure.error_text
            assert failure.where.endswith(where)
        assert not seen.troubles


async def test_a_process_is_replaced_after_so_many_runs(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    worn = isolated("worn", process_checkers.pid, args={"path": str(path)}, max_runs=3)
    async with supervising(worn) as (_, seen):
        await until(lambda: seen.successes.get("worn", 0) >= 7, within=START)
    pids = lines(path)
    assert pids[0] == pids[1] == pids[2]
    assert pids[3] == pids[4] == pids[5] != pids[0]


async def test_a_process_that_leaks_is_replaced_between_runs(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    leaky = isolated(
        "leaky", process_checkers.leak, args={"path": str(path), "megabytes": 50}, max_memory=200_000_000
    )
    async with supervising(leaky) as (_, seen):
        await until(lambda: len(set(lines(path))) >= 2, within=START)
        assert not seen.failures("leaky"), "it is replaced after a run, which is none of its fault"


async def test_a_run_that_takes_too_much_memory_is_ended() -> None:
    greedy = isolated(
        "greedy", process_checkers.leak_at_once, max_memory=200_000_000, max_consecutive_failures=1
    )
    async with supervising(greedy) as (supervisor, seen):
        await until(is_stopped(supervisor, "greedy"), within=START)
        failure = seen.failures("greedy")[0]
    assert failure.error_type == "MemoryLimitError"
    assert "more than its max_memory of 200 MB" in failure.error_text


async def test_a_restart_runs_the_code_that_is_on_disk_now(tmp_path: Path) -> None:
    module = tmp_path / "deployed_checker.py"
    module.write_text("async def check():\n    raise RuntimeError('the old code')\n")
    deployed = spec("deployed", nothing, isolation=Isolation.PROCESS, reference="deployed_checker:check")
    async with supervising(deployed, spec("other", nothing), folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "deployed"), within=START)
        assert seen.failures("deployed")[0].error_text == "the old code"
        module.write_text("async def check():\n    pass  # the fix\n")
        runs = state_of(supervisor, "other").runs_total
        supervisor.command("deployed", Restart("cli:ann"))
        await until(lambda: seen.successes.get("deployed", 0) >= 2, within=START)
        assert state_of(supervisor, "other").runs_total > runs + 10
        assert state_of(supervisor, "deployed").state in (State.RUNNING, State.WAITING)


async def test_a_process_loads_nothing_that_reads_configurations(tmp_path: Path) -> None:
    """Each process of a task would pay for it with a quarter of a second and 13 MB."""
    (tmp_path / "modules_checker.py").write_text(
        "import sys\nfrom dozor import Context, Fatal\n\n"
        "async def check(ctx: Context):\n"
        "    heavy = {'pydantic', 'yaml', 'aiohttp', 'aiogram', 'dozor.config.loading'} & set(sys.modules)\n"
        "    raise Fatal(f'loaded: {sorted(heavy)}')\n"
    )
    light = spec("light", nothing, isolation=Isolation.PROCESS, reference="modules_checker:check")
    async with supervising(light, folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "light"), within=START)
    assert seen.failures("light")[0].error_text == "loaded: []"


async def test_code_that_cannot_be_imported_stops_the_task_at_once(tmp_path: Path) -> None:
    (tmp_path / "broken_checker.py").write_text("raise ImportError('no driver')\n")
    broken = spec("broken", nothing, isolation=Isolation.PROCESS, reference="broken_checker:check")
    async with supervising(broken, folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "broken"), within=START)
        [failure] = seen.failures("broken")
    assert failure.fatal
    assert "no driver" in failure.traceback


def _host(script: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(root)})


async def test_new_code_that_does_not_take_its_arguments_stops_the_task_at_once(tmp_path: Path) -> None:
    (tmp_path / "other_arguments.py").write_text("async def check(lot):\n    pass\n")
    changed = spec(
        "changed",
        nothing,
        isolation=Isolation.PROCESS,
        reference="other_arguments:check",
        args={"auction": 7},
    )
    async with supervising(changed, folder=tmp_path) as (supervisor, seen):
        await until(is_stopped(supervisor, "changed"), within=START)
        [failure] = seen.failures("changed")
    assert failure.fatal
    assert "the function needs lot" in failure.error_text


def children_of(host: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(host.pid).children(recursive=True)


def of_children(ask: Callable[[psutil.Process], T], pid: int | None = None) -> list[T]:
    """What `ask` says of each child of `pid` (None: of this process) that has not ended meanwhile."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            found.append(ask(child))
    return found


async def test_processes_end_with_the_runner_also_when_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    script = tmp_path / "host.py"
    script.write_text(
        "import asyncio, sys\n"
        "from tests.supervision.stage import supervising\n"
        "from tests.supervision.test_process import isolated\n"
        "from tests.supervision import process_checkers as checkers\n"
        "async def main():\n"
        f"    own = isolated('own', checkers.pid, args={{'path': {str(path)!r}}})\n"
        "    stuck = isolated('stuck', checkers.block_the_loop)\n"
        "    async with supervising(own, stuck):\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    host = _host(script)
    try:
        await until(lambda: len(lines(path)) > 3, within=START)
        names = ["dozor:keeper", "dozor:keeper", "dozor:own", "dozor:stuck"]
        await until(lambda: sorted(of_children(psutil.Process.name, host.pid)) == names, within=START)
        children = children_of(host)
        host.send_signal(signal.SIGKILL)
        host.wait()
        await until(lambda: not any(child.is_running() for child in children), within=10)
    finally:
        host.kill()
        host.wait()
