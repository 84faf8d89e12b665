"""`Runner` in an application does not block its loop: the longest gap beside the user's own imports."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dozor import Runner
from dozor.app.opening import load_now, open_in_background, opened
from dozor.errors import ConfigError
from dozor.redaction import Redactor
from dozor.supervision.core.state import State
from tests.waiting import until

LIMIT = 0.05
"""Seconds."""
SHARE = 0.6
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


def write_many(folder: Path, database: str, count: int) -> Path:
    """Inline tasks, of which none is due soon."""
    (folder / "checkers_of_many.py").write_text("async def check(ctx):\n    pass\n")
    path = write(folder, database, "{run: 'checkers_of_many:check', cron: '0 0 1 1 *', misfire: skip}")
    line = "{run: 'checkers_of_many:check', cron: '0 0 1 1 *', misfire: skip, restart_delay: 30s}"
    path.write_text(path.read_text() + "".join(f"  task_{number}: {line}\n" for number in range(count)))
    return path


@pytest.mark.parametrize("count", [300, 3_000])
async def test_a_large_file_is_read_beside_the_loop(tmp_path: Path, database: str, count: int) -> None:
    """The longest gap, as a share of what the same reading takes at once: a bound for any machine."""
    path = write_many(tmp_path, database, count)
    began = time.perf_counter()
    loaded = load_now(path, Redactor(), None)
    expected = opened(loaded.config, loaded.checkers, None)
    at_once = time.perf_counter() - began
    longest: list[float] = []
    for _ in range(4):  # the machine may be busy with something else
        async with Gaps() as gaps:
            runner = Runner.from_config(path)
            found = await open_in_background(path, runner.redactor, None)
            longest.append(gaps.longest)
        if longest[-1] < SHARE * at_once:
            break
    print(f"{count} tasks: at once {at_once * 1000:.0f} ms, longest gap {min(longest) * 1000:.1f} ms")
    assert found.config == expected.config
    assert found.specs == expected.specs
    assert min(longest) < SHARE * at_once


async def test_entering_with_many_tasks(tmp_path: Path, database: str) -> None:
    """Reading is most of it; nothing else holds the loop up for long."""
    path = write_many(tmp_path, database, 3_000)
    began = time.perf_counter()
    async with Gaps() as gaps, Runner.from_config(path, grace=1.0) as runner:
        entered = time.perf_counter() - began
        assert len(runner.supervisor.tasks) == 3_001
        print(f"entered in {entered * 1000:.0f} ms, longest gap {gaps.longest * 1000:.1f} ms")
        assert gaps.longest < entered / 2


async def test_a_large_file_with_problems_is_refused_when_it_is_entered(
    tmp_path: Path, database: str
) -> None:
    path = write_many(tmp_path, database, 200)
    (tmp_path / "raises_at_import.py").write_text(
        "from pathlib import Path\n"
        "with Path(__file__).with_name('imports').open('a') as file:\n    file.write('once\\n')\n"
        "raise RuntimeError('at import')\n"
    )
    more = ("bad: {run: 'raises_at_import:check'}", "worse: {run: 'raises_at_import:other', evry: 1s}")
    path.write_text(path.read_text() + "".join(f"  {line}\n" for line in (*more, "gone: {run: 'gone:f'}")))
    runner = Runner.from_config(path)
    with pytest.raises(ConfigError) as caught:
        await runner.__aenter__()
    text = str(caught.value)
    for words in ("tasks.bad.run", "at import", "tasks.worse.run", "tasks.worse.evry", "tasks.gone.run"):
        assert words in text, text
    assert (tmp_path / "imports").read_text() == "once\n"
    with pytest.raises(ConfigError):
        _ = Runner.from_config(path).config


async def test_a_large_file_is_read_at_once_if_its_configuration_is_asked_for(
    tmp_path: Path, database: str
) -> None:
    path = write_many(tmp_path, database, 200)
    path.write_text(
        path.read_text().replace("web:", "telegram: {token: '42:secret-of-the-file', chat: 1}\nweb:")
    )
    runner = Runner.from_config(path)
    redact = runner.redactor.redact  # before anything was read, as for a log that is set up first
    assert len(runner.config.tasks) == 201
    assert "secret-of-the-file" not in redact("a secret-of-the-file here")


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
