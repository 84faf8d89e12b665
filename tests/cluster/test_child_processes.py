"""`isolation: process` of a leader that is stopped: its child ends before another replica begins the task."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest

from tests.cluster.members import TTL, Members
from tests.waiting import until


async def death_of(pid: int) -> float:
    """When the process has ended, by CLOCK_MONOTONIC."""
    while True:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return time.monotonic()
        except psutil.NoSuchProcess:
            return time.monotonic()
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("tree", [False, True], ids=["leader", "leader, keeper and child"])
async def test_the_child_of_a_stopped_leader_ends_before_another_one_begins_its_task(
    members: Members, *, tree: bool
) -> None:
    members.write({"t": {"run": "spanned:run", "every": "200ms", "isolation": "process"}})
    first = await members.leader(env={"RUN_SECONDS": "60"})
    second = await members.standby(env={"RUN_SECONDS": "0.05"})
    await until(lambda: bool(members.spans()), within=30)
    [span] = members.spans()
    child = psutil.Process(span.pid)
    keeper = child.ppid()
    assert keeper != first.pid
    death = asyncio.create_task(death_of(child.pid))
    first.signal(signal.SIGSTOP)
    if tree:
        os.kill(keeper, signal.SIGSTOP)
        child.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(TTL + 30):
        died_at = await death
    await until(lambda: len(members.spans()) > 1, within=30)
    assert members.spans()[1].began > died_at
    assert await first.ends(within=5) == -signal.SIGKILL
    assert await second.stop() == 0
