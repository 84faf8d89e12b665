"""Forked children of a checker: default signals, nothing of the runner's, and no second runner."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.observed.stack import free_port
from tests.supervision import contextual
from tests.system.process import PATIENCE
from tests.system.stage import Stage
from tests.waiting import stretched, until

LONG = 3 * PATIENCE
"""Seconds that several processes may take to start on a busy machine."""
QUICK: dict[str, Any] = {"every": "1500ms", "restart_delay": "100ms", "max_consecutive_failures": 1}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "thread": ({"run": "contextual:pool"}, "sum 285"),
    "loop": ({"run": "contextual:pool_on_the_loop"}, "sum 285"),
    "process": ({"run": "contextual:pool", "isolation": "process"}, "sum 285"),
    "server": ({"run": "contextual:pool", "args": {"method": "forkserver"}}, "sum 285"),
    "executor": ({"run": "contextual:executor"}, "sum 285"),
    "ended": ({"run": "contextual:terminated"}, f"exit {-signal.SIGTERM}"),
    "ended-process": ({"run": "contextual:terminated", "isolation": "process"}, f"exit {-signal.SIGTERM}"),
    "preexec": ({"run": "contextual:preexec"}, "exit 0"),
    "fork-returns": ({"run": "contextual:by_os_fork", "args": {"how": "returns"}}, "child 0"),
    "fork-raises": ({"run": "contextual:by_os_fork", "args": {"how": "raises"}}, "child 1"),
    "fork-exits": ({"run": "contextual:by_os_fork", "args": {"how": "exits"}}, "child 7"),
    "loop-raises": ({"run": "contextual:by_os_fork_on_the_loop", "args": {"how": "raises"}}, "child 1"),
    "loop-exits": ({"run": "contextual:by_os_fork_on_the_loop", "args": {"how": "exits"}}, "child 7"),
    "loop-waits": ({"run": "contextual:by_os_fork_on_the_loop", "args": {"how": "waits"}}, "child 1"),
    "process-exits": (
        {"run": "contextual:by_os_fork", "args": {"how": "exits"}, "isolation": "process"},
        "child 7",
    ),
    "process-waits": (
        {"run": "contextual:by_os_fork_on_the_loop", "args": {"how": "waits"}, "isolation": "process"},
        "child 1",
    ),
}


@pytest.fixture
def forking(stage: Stage) -> Stage:
    shutil.copy(str(contextual.__file__), stage.folder / "contextual.py")
    return stage


def notes(stage: Stage, name: str) -> list[str]:
    path = stage.folder / f"{name}.notes"
    return path.read_text().splitlines() if path.exists() else []


def alive(process: psutil.Process) -> bool:
    """A zombie that nobody has waited for is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def task(stage: Stage, name: str, **given: Any) -> dict[str, Any]:
    given["args"] = {"path": str(stage.folder / f"{name}.notes"), **given.get("args", {})}
    return {**QUICK, **given}


async def test_children_end_as_they_should_and_the_runner_goes_on(forking: Stage, database: str) -> None:
    """All ways to fork in one runner, at the same time."""
    tasks = {name: task(forking, name, **given) for name, (given, _) in CASES.items()}
    forking.write({**tasks, "other": {"run": "troubled:tick", "every": "100ms"}}, url=database)
    process = await forking.watch()

    def ran_twice_or_ended(name: str) -> bool:
        return len(notes(forking, name)) >= 2 or not process.alive

    for name in CASES:
        await until(partial(ran_twice_or_ended, name), within=LONG)
    before = len(forking.runs("other"))
    await until(lambda: len(forking.runs("other")) > before + 3 or not process.alive, within=PATIENCE)
    assert process.alive, process.text[-4000:]
    assert "SIGTERM" not in process.text
    assert {name: set(notes(forking, name)) for name in CASES} == {
        name: {expected} for name, (_, expected) in CASES.items()
    }
    status = await forking.cli("status", "--json")
    assert {entry["failures_total"] for entry in status.json["tasks"]} == {0}
    assert await process.stop() == 0


@pytest.mark.usefixtures("quick_end")
async def test_a_helper_of_a_killed_runner_keeps_neither_its_lock_nor_its_port(
    forking: Stage, database: str
) -> None:
    forking.write(
        {"helper": task(forking, "helper", run="contextual:leave_helper")},
        url=database,
        web={"listen": f"127.0.0.1:{free_port()}"},
    )
    first = await forking.watch()
    await first.says("Веб: слушаю", within=LONG)
    await until(lambda: bool(notes(forking, "helper")), within=PATIENCE)
    helper = psutil.Process(int(notes(forking, "helper")[0]))
    try:
        first.kill()
        assert helper.is_running()
        second = await forking.watch("--grace", "0.2")
        await second.says("Веб: слушаю", within=LONG)
        assert helper.is_running()
        assert await second.stop() == 0
    finally:
        helper.kill()
        for number in notes(forking, "helper")[1:]:
            psutil.Process(int(number)).kill()


async def test_what_a_run_in_a_process_has_forked_is_killed_with_it_at_its_time_limit(
    forking: Stage, database: str
) -> None:
    hangs = task(
        forking,
        "hangs",
        run="contextual:hang_with_child",
        isolation="process",
        timeout=f"{stretched(3.0):.1f}s",
    )
    forking.write({"hangs": hangs}, url=database)
    process = await forking.watch()
    await until(lambda: bool(notes(forking, "hangs")), within=LONG)
    child = psutil.Process(int(notes(forking, "hangs")[0]))
    assert child.is_running()
    await process.says("дольше своего timeout", within=LONG)
    await until(lambda: not alive(child), within=PATIENCE)
    assert await process.stop() == 0


async def test_the_log_lines_of_a_child_of_a_process_arrive_and_its_pipe_stays_whole(
    forking: Stage, database: str
) -> None:
    logs = task(forking, "logs", run="contextual:log_in_child", isolation="process")
    forking.write({"logs": logs}, url=database)
    process = await forking.watch()
    await process.says("a line of the child", times=2, within=LONG)
    await until(lambda: len(notes(forking, "logs")) >= 2, within=PATIENCE)
    assert set(notes(forking, "logs")) == {"exit 0"}
    assert "присылает нечитаемые данные" not in process.text
    assert await process.stop() == 0


HOST = """
import asyncio, json, os, signal, socket
from dozor import Runner

def database_sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as end:
                found += "PGSQL" in str(end.getpeername())
        except OSError:
            pass
    return found

def wakeup():
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number)
    return number

def host_handler(*_): pass

async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGHUP, host_handler)
    theirs, own = socket.socketpair()
    expected = signal.getsignal(signal.SIGTERM)
    async with Runner.from_config("config.yaml") as runner:
        here = wakeup(), database_sockets()
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, json.dumps({
                "term": signal.getsignal(signal.SIGTERM) is expected,
                "hup": signal.getsignal(signal.SIGHUP) is host_handler,
                "wakeup": wakeup() == here[0],
                "sockets": database_sockets(),
                "own": socket.socket(fileno=os.dup(own.fileno())).send(b"x"),
            }).encode())
            os._exit(0)
        os.close(write)
        os.wait()
        said = json.loads(os.read(read, 10_000)) | {"sockets of the host": here[1]}
        print("child", json.dumps(said), flush=True)
        await stop.wait()
    print("the host goes on", flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio itself resets the wakeup descriptor")
async def test_embedded_only_what_is_ours_is_taken_from_children(forking: Stage, database: str) -> None:
    forking.write({"other": {"run": "troubled:tick", "every": "100ms"}}, url=database)
    process = forking.start(sys.executable, "-c", HOST)
    await process.says("child {", within=LONG)
    said = next(line for line in process.text.splitlines() if line.startswith("child {"))
    found = json.loads(said.removeprefix("child "))
    assert found.pop("sockets of the host") > 0
    assert found == {"term": True, "hup": True, "wakeup": True, "sockets": 0, "own": 1}
    before = len(forking.runs("other"))
    await until(lambda: len(forking.runs("other")) > before + 3, within=PATIENCE)
    assert await process.stop() == 0
    assert process.text.splitlines()[-1] == "the host goes on"


def test_a_library_s_own_handler_stays_in_the_child(tmp_path: Path) -> None:
    """One that replaced ours is not ours."""
    program = """
import os, signal, sys
from dozor.process.forking import own_signal
def ours(*_): pass
def theirs(*_): pass
own_signal(signal.SIGTERM, lambda: signal.signal(signal.SIGTERM, ours))
own_signal(signal.SIGUSR1, lambda: signal.signal(signal.SIGUSR1, ours))
signal.signal(signal.SIGTERM, theirs)
if os.fork() == 0:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    os._exit(42 if handlers == (theirs, signal.SIG_DFL) else 3)
_, status = os.wait()
assert signal.getsignal(signal.SIGUSR1) is ours
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
sys.exit(os.waitstatus_to_exitcode(status))
"""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], dict(os.environ))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
