"""The command line without a runner, with parts of names, on narrow terminals, and without colours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import click
import pytest

from dozor.cli.status import _card, _table
from dozor.cli.terminal.options import _known
from dozor.control.queries.status import AlertsBacklog, RunnerInfo, StatusReport
from dozor.supervision.core.state import State
from tests.cli.command import Ran
from tests.cli.test_terminal import status_of
from tests.preloaded.processes import run_beside, start
from tests.system.process import Process
from tests.waiting import stretched, until
from tests.web.site import Site, Work, open_site

TASKS = """
orders: {run: 'm:f', every: 20ms}
order_mail: {run: 'm:f', every: 1h}
prices: {run: 'm:f', every: 20ms, restart_delay: 10ms, max_consecutive_failures: 2}
"""
NOW = 1_800_000_000.0


async def run(*arguments: str, **env: str) -> Ran:
    done = await run_beside(*arguments, env={**os.environ, **env})
    return Ran(done.returncode, done.stdout, done.stdout + done.stderr)


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    bad = Work()
    bad.error = ValueError("the price is gone")
    work = {"orders": Work().run, "order_mail": Work().run, "prices": bad.run}
    async with open_site(tmp_path, database, work, tasks=TASKS) as site:
        await site.becomes("/health/tasks", 503)
        yield site


async def test_parts_of_names_and_several_names(site: Site, tmp_path: Path) -> None:
    env = {"DOZOR_CONFIG": str(tmp_path / "config.yaml")}
    paused = await run("pause", "mail", "ORDERS", **env)
    assert (paused.exit_code, paused.output) == (
        0,
        "order_mail: done, now paused\norders: done, now paused\n",
    )
    both = await run("resume", "order", **env)
    assert both.exit_code == 1
    assert "orders, order_mail" in both.output
    half = await run("resume", "mail", "nothing", **env)
    assert half.exit_code == 1
    one = await run("status", "mail", **env)
    assert "paused" in one.output, "nothing is done if one of the names means no task"
    for command in ("status", "history", "errors", "restart", "unsilence"):
        unknown = await run(command, "nothing", **env)
        assert unknown.exit_code == 1, command
        assert "nothing" in unknown.output


def ends_in(result: Ran, before: str) -> float:
    """Seconds until the moment that the line names after `before`."""
    assert result.exit_code == 0, result.output
    assert result.output.startswith(before)
    moment = result.output.removeprefix(before).strip()
    return datetime.strptime(f"{moment}+0000", "%Y-%m-%d %H:%M:%S UTC%z").timestamp() - time.time()


async def test_errors_ack_silence_and_oncall(site: Site, tmp_path: Path) -> None:
    config = str(tmp_path / "config.yaml")
    errors = await run("-c", config, "errors", "pric")
    assert errors.exit_code == 0
    assert "ValueError: the price is gone" in errors.output
    assert (await run("errors", "mail", "-c", config)).output == "order_mail: no errors\n"
    [incident] = [one for one in site.runner.incident_manager.open_incidents if one.task == "prices"]
    acked = await run("ack", f"#{incident.id}", "--for", "2h", "-c", config)
    assert ends_in(acked, f"#{incident.id}: acknowledged until ") == pytest.approx(7200, abs=60)
    assert site.runner.incident_manager.find_incident(incident.id).state == "acknowledged"  # type: ignore[union-attr]
    assert (await run("ack", "999", "-c", config)).exit_code == 1
    assert (await run("ack", "x", "-c", config)).exit_code == 1
    assert (await run("ack", str(incident.id), "--undo", "-c", config)).exit_code == 0
    again = await run("ack", str(incident.id), "-c", config)
    assert ends_in(again, f"#{incident.id}: acknowledged until ") == pytest.approx(8 * 3600, abs=60)
    assert (await run("silence", "mail", "-c", config)).exit_code == 1, "for how long?"
    assert (await run("silence", "mail", "soon", "-c", config)).exit_code == 1
    silenced = await run("silence", "mail", "1h", "a", "deployment", "-c", config)
    assert ends_in(silenced, "order_mail: silenced until ") == pytest.approx(3600, abs=60)
    [silence] = site.runner.incident_manager.silences.values()
    assert (silence.target, silence.reason) == ("order_mail", "a deployment")
    assert (await run("unsilence", "order_mail", "-c", config)).exit_code == 0
    lasting = await run("silence", f"#{incident.id}", "-c", config)
    assert lasting.output == f"#{incident.id}: silenced until it is over\n"
    assert (await run("unsilence", f"#{incident.id}", "-c", config)).exit_code == 0
    asked = await run("silence", "mail", "30", "-c", config)
    assert (asked.exit_code, "30 of what?" in asked.output) == (1, True)
    assert (await run("silence", "mail", "2 часа", "выкатка", "-c", config)).exit_code == 0
    [silence] = site.runner.incident_manager.silences.values()
    assert silence.ends_at is not None
    assert abs(silence.ends_at - silence.created_at - 7200) < 60
    assert silence.reason == "выкатка"
    assert (await run("unsilence", "order_mail", "-c", config)).exit_code == 0
    assert not site.runner.incident_manager.silences
    assert "Nobody is on call" in (await run("oncall", "-c", config)).output
    handed = await run("oncall", "ann", "-c", config)
    assert (handed.exit_code, handed.output.strip()) == (
        1,
        "dozor: There is no ann in oncall.people, which is empty",
    )


async def test_a_killed_runner_is_noticed_at_once(database: str, tmp_path: Path) -> None:
    """kill -9: its last sign of life is fresh for 10 s, but its session no longer holds the lock."""
    (tmp_path / "m.py").write_text("async def f(): ...\n")
    config = tmp_path / "config.yaml"
    config.write_text(
        f"language: en\ndatabase: {{url: '{database}'}}\nweb: {{listen: null}}\n"
        "tasks: {one: {run: 'm:f', every: 1h, run_at_start: true}}\n"
    )
    path = str(config)
    command = [sys.executable, "-m", "dozor", "run", "-c", path]
    runner = Process(command, cwd=tmp_path, output=tmp_path / "log")
    try:
        await runner.says("is on watch")

        async def on_watch() -> bool:
            return (await run("status", "-c", path)).exit_code == 0

        deadline = time.monotonic() + stretched(60)
        while not await on_watch():
            assert time.monotonic() < deadline
    finally:
        runner.kill()
    status = await run("status", "-c", path)
    assert status.exit_code == 3
    assert "next in" not in status.output
    refused = await run("restart", "one", "--timeout", "60", "-c", path)
    assert refused.exit_code == 1
    assert "No runner works on this database" in refused.output


async def test_without_a_database_of_its_own_nothing_is_started(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("language: en\ntasks: {one: {run: 'm:f'}}\n")
    for command, code in ((("status",), 3), (("restart", "one"), 1), (("ack", "1"), 1)):
        began = time.monotonic()
        ran = await run(*command, "-c", str(config))
        assert (ran.exit_code, time.monotonic() - began < 30) == (code, True), ran.output
    assert not (tmp_path / ".dozor").exists()


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_output_fits(columns: int) -> None:
    long = {"consecutive_failures": 12_345, "last_success_at": NOW - 59 * 60, "next_run_at": NOW + 59 * 60}
    tasks = tuple(status_of("n" * 40, state, **long) for state in State)
    for alive in (True, False):
        runner = RunnerInfo(12, "h" * 60, 1, "0.1.0", NOW - 86_400 * 30, NOW, alive=alive)
        table = _table(StatusReport(runner, tasks, AlertsBacklog(12_345, 86_400.0), NOW), columns)
        assert max(map(len, click.unstyle(table).splitlines())) <= columns
    error = {"last_error_type": "ValueError", "last_error_text": "the word " * 20}
    card = _card(status_of("n" * 40, State.BACKOFF, description="d" * 90, **error), NOW, columns)
    assert max(map(len, card.splitlines())) <= columns


async def test_no_color_and_the_width_of_the_terminal(site: Site, tmp_path: Path) -> None:
    """On a pseudo-terminal, as a person sees it."""
    command = [sys.executable, "-m", "dozor", "status", "-c", str(tmp_path / "config.yaml")]
    coloured = await _on_a_terminal(command, columns=40)
    assert "\x1b[" in coloured
    plain = await _on_a_terminal(command, columns=40, NO_COLOR="1")
    assert "\x1b[" not in plain
    assert "prices" in plain
    assert max(len(line) for line in plain.splitlines()) <= 40
    assert "\x1b[" in await _on_a_terminal(command, columns=120, NO_COLOR="")


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_help_and_the_first_steps_fit_40_columns(tmp_path: Path, language: str) -> None:
    env = {"COLUMNS": "40", "LC_ALL": {"en": "C.UTF-8", "ru": "ru_RU.UTF-8"}[language], "PYTHONUTF8": "1"}
    for arguments in (("--help",), ("silence", "--help"), ("init", str(tmp_path / language), "--yes")):
        ran = await run(*arguments, **env)
        assert ran.exit_code == 0
        assert max(map(len, ran.output.replace(str(tmp_path), "").splitlines())) <= 40, ran.output


async def _on_a_terminal(command: list[str], columns: int, **env: str) -> str:
    import pty

    main, side = pty.openpty()
    os.set_blocking(main, False)
    try:
        process = start(
            command,
            cwd=Path.cwd(),
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "COLUMNS": str(columns), **env},
            stdin=side, stdout=side, stderr=side,
        )  # fmt: skip
        os.close(side)
        seen = bytearray()

        def read() -> bool:
            ended = process.poll() is not None
            try:
                seen.extend(os.read(main, 65536))
            except (BlockingIOError, OSError):
                return ended
            return False

        try:
            await until(read, within=60)
        finally:
            process.kill()
            process.wait()
        return seen.decode()
    finally:
        os.close(main)


def test_only_a_pause_is_said_to_be_by_a_person() -> None:
    """A task that was restarted by hand and then failed again was not stopped by that person."""
    names = {"telegram:111": "Ann"}
    for state in State:
        card = _card(status_of("orders", state, state_by="telegram:111"), NOW, 80, names)
        rows = dict(line.split("  ", 1) for line in card.splitlines())
        assert ("Ann" in rows["state"]) == (state is State.PAUSED), card
        assert ("last action" in rows) == (state is not State.PAUSED), card
        assert "telegram:111" not in card
    card = _card(status_of("orders", State.STOPPED, state_by="cli:root@vm"), NOW)
    assert "command line, root@vm" in card


def test_tasks_that_no_runner_has_started_are_not_called_missing() -> None:
    report = StatusReport(None, (), AlertsBacklog(0, None), NOW)
    assert "No tasks: add one" in _table(report)
    never = " ".join(_table(report, 40, configured=2).split())
    assert never.endswith("The 2 tasks of the configuration have not been started yet: `dozor run`")
    assert "add one" not in never


async def test_an_error_without_a_text_has_no_colon(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("async def check():\n    raise AssertionError\n")
    config = tmp_path / "config.yaml"
    config.write_text("language: en\ntasks:\n  bare: {run: 'bare:check', every: 1s}\n")
    tried = await run("try", "bare", "-c", str(config))
    assert tried.exit_code == 1
    assert tried.output.splitlines()[0].endswith(": AssertionError"), tried.output
    assert status_of("bare", State.BACKOFF, last_error_type="AssertionError").last_error == "AssertionError"


def test_a_full_disk_and_missing_rights_are_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "dozor", "schema"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=stretched(60))
    assert (done.returncode, done.stderr) == (1, "dozor: No space left on device\n")
    refused = PermissionError(errno.EACCES, "Permission denied", "/etc/x")
    assert _known(refused) == "/etc/x: Permission denied"
    assert _known(OSError(errno.EBADF, "Bad file descriptor")) is None, "a defect keeps its traceback"
