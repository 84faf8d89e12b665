"""The deadline of child processes: it ends them, a stopped one as well, and not while it is moved."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from dozor.config.sections.tasks import Isolation
from dozor.process.child_deadlines import ChildDeadlines
from dozor.process.deadline_timer import boottime
from dozor.supervision.core.spec import TaskSpec
from tests.supervision import deadline_checkers
from tests.supervision.stage import is_stopped, spec, supervising
from tests.supervision.test_process import START
from tests.waiting import until

SLACK = 0.3


def isolated(name: str, function: Callable[..., Any], **given: Any) -> TaskSpec:
    reference = f"deadline_checkers:{function.__name__}"
    return spec(name, function, isolation=Isolation.PROCESS, reference=reference, **given)


@contextmanager
def moved(deadlines: ChildDeadlines, ahead: float) -> Iterator[None]:
    """As a leader that renews its lease in time: the deadline is always `ahead` seconds ahead."""
    over = Event()

    def move() -> None:
        while not over.wait(ahead / 5):
            deadlines.end_at(boottime() + ahead)

    deadlines.end_at(boottime() + ahead)
    thread = Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_child_that_holds_the_gil_lives_on_while_the_deadline_is_moved(tmp_path: Path) -> None:
    deadlines, path = ChildDeadlines(SLACK), tmp_path / "pid"
    task = isolated("t", deadline_checkers.hold_the_gil, args={"path": str(path), "seconds": 4}, max_runs=1)
    async with supervising(task, deadlines=deadlines, grace=10.0) as (_, seen):
        with moved(deadlines, 2.0):
            await until(lambda: seen.successes.get("t", 0) >= 1, within=START)
        deadlines.disarm()
        assert not seen.failures("t")


async def test_at_the_deadline_a_child_is_killed_and_its_run_fails(tmp_path: Path) -> None:
    deadlines, path = ChildDeadlines(SLACK), tmp_path / "pid"
    task = isolated("t", deadline_checkers.wait, args={"path": str(path)}, max_consecutive_failures=1)
    async with supervising(task, deadlines=deadlines) as (supervisor, seen):
        await until(path.exists, within=START)
        began = time.monotonic()
        deadlines.end_at(boottime() + 1.0)
        await until(is_stopped(supervisor, "t"), within=20)
        assert time.monotonic() - began >= 1.0
        [failure] = seen.failures("t")
        assert "SIGKILL" in failure.error_text


@pytest.mark.parametrize("stopped", ["keeper", "child", "both"])
async def test_stopped_ones_are_killed_as_well(tmp_path: Path, stopped: str) -> None:
    deadlines, path = ChildDeadlines(SLACK), tmp_path / "pid"
    task = isolated("t", deadline_checkers.wait, args={"path": str(path)}, max_consecutive_failures=1)
    async with supervising(task, deadlines=deadlines):
        await until(lambda: path.exists() and bool(path.read_text()), within=START)
        child = int(path.read_text())
        keeper = psutil.Process(child).ppid()
        deadlines.end_at(boottime() + 1.5)
        # The keeper reads it before it is stopped: it waits in select(2) otherwise.
        await until(lambda: armed(deadlines, keeper), within=10)
        for pid in (keeper, child) if stopped == "both" else (keeper if stopped == "keeper" else child,):
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: ended(child), within=20)
        assert time.monotonic() - began < 1.5 + SLACK + 5.0


def armed(deadlines: ChildDeadlines, keeper: int) -> bool:
    """Has the keeper read its deadline, and does it wait again?"""
    [pipe] = deadlines._writing
    unread = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return unread == bytes(4) and psutil.Process(keeper).status() == psutil.STATUS_SLEEPING
