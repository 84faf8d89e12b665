"""What a checker of `isolation: process` forks without exec does not outlive a time-out or the end."""

from __future__ import annotations

import os
from pathlib import Path

from dozor.config.sections.tasks import Every, Isolation
from tests.supervision import process_checkers
from tests.supervision.stage import spec, supervising
from tests.waiting import stretched, until

START = 60.0


async def test_a_pool_of_processes_works_again_and_again() -> None:
    task = spec(
        "pool",
        process_checkers.pool_of_processes,
        isolation=Isolation.PROCESS,
        reference="process_checkers:pool_of_processes",
    )
    async with supervising(task) as (_, seen):
        await until(lambda: seen.successes.get("pool", 0) >= 3, within=START)
    assert not seen.failures("pool")


async def test_a_forked_child_that_comes_back_from_the_checker_is_no_second_run() -> None:
    task = spec(
        "forks",
        process_checkers.returns_in_a_forked_child,
        isolation=Isolation.PROCESS,
        reference="process_checkers:returns_in_a_forked_child",
    )
    async with supervising(task) as (_, seen):
        await until(lambda: seen.successes.get("forks", 0) >= 3, within=START)
    assert not seen.failures("forks")


async def test_a_forked_helper_ends_with_the_run_that_took_too_long(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    task = spec(
        "helper",
        process_checkers.forks_a_helper,
        isolation=Isolation.PROCESS,
        reference="process_checkers:forks_a_helper",
        args={"path": str(pid)},
        timeout=stretched(3.0),  # the start of the process counts
        max_consecutive_failures=1,
    )
    async with supervising(task) as (_, seen):
        await until(lambda: bool(seen.failures("helper")), within=START)
        assert seen.failures("helper")[0].timed_out
        await until(lambda: not alive(int(pid.read_text())), within=START)


async def test_a_forked_helper_that_was_left_behind_ends_with_the_runner(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    task = spec(
        "helper",
        process_checkers.leaves_a_forked_helper,
        isolation=Isolation.PROCESS,
        reference="process_checkers:leaves_a_forked_helper",
        args={"path": str(pid)},
        schedule=Every(3600),
    )
    async with supervising(task) as (_, seen):
        await until(lambda: bool(seen.successes), within=START)
        assert alive(int(pid.read_text()))
    await until(lambda: not alive(int(pid.read_text())), within=START)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
