"""What the commands print: 80 columns, JSON everywhere, completion, a live picture."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dozor.cli import cli
from dozor.cli.status import _table
from dozor.control.queries.status import AlertsBacklog, RunnerInfo, StatusReport, TaskStatus
from dozor.supervision.core.state import State
from tests.cli.command import dozor
from tests.preloaded.processes import DOZOR, start
from tests.system.process import Process
from tests.waiting import stretched
from tests.web.site import Work, open_site

CONFIG = "tasks:\n  presales: {run: 'm:f'}\n  prices: {run: 'm:f'}\n  auctions: {run: 'm:f'}\n"
TASKS = """
good: {run: 'm:f', every: 20ms}
bad: {run: 'm:f', every: 20ms, restart_delay: 10ms, max_consecutive_failures: 2}
"""


def status_of(name: str, state: State, **more: Any) -> TaskStatus:
    values: dict[str, Any] = dict.fromkeys(TaskStatus.__dataclass_fields__)
    return TaskStatus(
        **{
            **values, "name": name, "state": state, "consecutive_failures": 0, "runs_total": 1,
            "failures_total": 0, "description": "", "schedule": "", **more,
        }
    )  # fmt: skip


def test_the_table_fits_80_columns_whatever_is_in_it() -> None:
    now = 1_800_000_000.0
    long = {"consecutive_failures": 12_345, "last_success_at": now - 59 * 60, "next_run_at": now + 59 * 60}
    tasks = [status_of("n" * 40, state, **long) for state in State]
    tasks.append(status_of("r" * 40, State.RUNNING, running_for_s=86_400 * 400, **long))
    runner = RunnerInfo(12, "h" * 20, 1, "0.1.0", now - 86_400 * 30, now, alive=True)
    table = _table(StatusReport(runner, tuple(tasks), AlertsBacklog(12_345, 86_400.0), now))
    assert max(map(len, click.unstyle(table).splitlines())) <= 80


async def test_every_command_that_shows_something_shows_it_as_json_too(
    database: str, tmp_path: Path, work: Work
) -> None:
    bad = Work()
    bad.error = ValueError("no")
    config = str(tmp_path / "config.yaml")
    async with open_site(tmp_path, database, {"good": work.run, "bad": bad.run}, tasks=TASKS) as site:
        await site.becomes("/health/tasks", 503)
        await site.runner.journal.flush()

        async def read(*arguments: str) -> tuple[int, Any]:
            result = await dozor(*arguments, "-c", config, "--json")
            return result.exit_code, json.loads(result.stdout)

        code, status = await read("status")
        assert (code, [task["name"] for task in status["tasks"]]) == (1, ["good", "bad"])
        over_http = (await site.get_json("/api/status"))[1]
        assert set(over_http) == set(status)
        assert set(over_http["tasks"][0]) == set(status["tasks"][0])
        assert (await read("status", "good"))[0] == 0
        assert (await read("history", "bad"))[1][0]["outcome"] == "failed"
        assert (await read("incidents"))[1][0]["task"] == "bad"
        assert (await read("doctor"))[0] == 0
        assert (await read("health", "--url", site.url))[1]["alive"] is True


async def test_watching_shows_changes_until_it_is_interrupted(
    database: str, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, database, {"good": work.run, "bad": work.run}, tasks=TASKS):
        arguments = ["status", "--watch", "--interval", "0.1", "-c", str(tmp_path / "config.yaml")]
        process = Process(
            [sys.executable, "-m", "dozor", *arguments], cwd=tmp_path, output=tmp_path / "output"
        )
        try:
            await process.says("good", times=3, within=20)
            process.signal(signal.SIGINT)
            assert await process.ends(within=10) == 0
        finally:
            process.kill()
    said = (tmp_path / "output").read_text()
    assert "Traceback" not in said
    assert "Aborted" not in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_DOZOR_COMPLETE" in result.output


def test_task_names_are_completed_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)

    def completed(config: Path) -> tuple[str, str]:
        """Standard output and error of the command as bash calls it."""
        environment = {
            **os.environ,
            "_DOZOR_COMPLETE": "bash_complete",
            "COMP_WORDS": f"dozor restart -c {config} pr",
            "COMP_CWORD": "4",
        }
        output, error = tmp_path / "output", tmp_path / "error"
        with output.open("wb") as out, error.open("wb") as err, open(os.devnull, "rb") as nothing:
            process = start(
                [DOZOR],
                cwd=tmp_path,
                env=environment,
                stdin=nothing.fileno(),
                stdout=out.fileno(),
                stderr=err.fileno(),
            )
        try:
            process.wait(stretched(30))
        finally:
            process.kill()
        return output.read_text(), error.read_text()

    assert completed(tmp_path / "config.yaml")[0].splitlines() == ["plain,presales", "plain,prices"]
    output, error = completed(tmp_path / "nothing.yaml")
    assert (output.strip(), error) == ("", ""), "completion never complains"
