"""`Runner` in an application does not block its loop: the longest gap beside the user's own imports."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dozor import Runner
from dozor.errors import ConfigError
from dozor.supervision.core.state import State
from tests.waiting import until

LIMIT = 0.05
"""Seconds."""
SLOW = "import time\ntime.sleep(0.5)\n\n\nasync def check():\n    pass\n"


class Gaps:
    """The longest time between two turns of the loop, while it is entered."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Gaps:
        self._beating = asyncio.create_task(self._beat())
        await asyncio.sleep(0.02)
        self.longest = 0.0
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._beating.cancel()

    async def _beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now


def write(folder: Path, database: str, task: str) -> Path:
    (folder / "slow_to_import.py").write_text(SLOW)
    path = folder / "config.yaml"
    path.write_text(f"database: {{url: '{database}'}}\nweb: {{listen: null}}\ntasks:\n  apart: {task}\n")
    return path


async def test_a_process_of_its_own_is_probed_in_the_background(tmp_path: Path, database: str) -> None:
    """The import takes half a second in the child; it took as long on the host's loop."""
    path = write(tmp_path, database, "{run: 'slow_to_import:check', every: 1s, isolation: process}")
    measured: list[float] = []
    runner = Runner.from_config(path, grace=1.0)
    for _ in range(3):  # the machine may be busy with something else once
        async with Gaps() as gaps:
            runner = Runner.from_config(path, grace=1.0)
            await asyncio.sleep(0.01)
            measured.append(gaps.longest)
            if gaps.longest < LIMIT:
                break
    print(f"from_config: longest gap {min(measured) * 1000:.1f} ms")
    assert min(measured) < LIMIT
    async with Gaps() as gaps, runner:
        await until(lambda: runner.supervisor.tasks[0].state.succeeded_at is not None, within=30.0)
        assert runner.supervisor.tasks[0].state.state is not State.STOPPED
    print(f"entering, a run and leaving: longest gap {gaps.longest * 1000:.1f} ms")


async def test_what_it_finds_is_a_configuration_error_before_anything_starts(
    tmp_path: Path, database: str
) -> None:
    path = write(tmp_path, database, "{run: 'not_there:check', every: 1s, isolation: process}")
    runner = Runner.from_config(path)
    with pytest.raises(ConfigError, match=r"tasks\.apart\.run: "):
        await runner.__aenter__()
    assert not runner.leads


async def test_with_other_problems_all_are_reported_at_once(tmp_path: Path, database: str) -> None:
    path = write(tmp_path, database, "{run: 'not_there:check', every: 1s, isolation: process}")
    path.write_text(path.read_text() + "  here: {run: 'nor_this:check', every: 1s}\n")
    with pytest.raises(ConfigError) as caught:
        Runner.from_config(path)
    assert len(caught.value.problems) == 2
