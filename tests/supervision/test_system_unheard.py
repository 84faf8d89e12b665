"""The real process: an output that nobody reads, and an end that a checker holds up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.process import DOZOR, PATIENCE
from tests.system.stage import Stage
from tests.waiting import until

TICK: dict[str, Any] = {"run": "stubborn:tick", "every": "200ms"}
GRACE = "1"
LATEST = 12.0
"""Seconds: a second of grace, five for cancelled runs, five for the interpreter."""


class Unheard:
    """`dozor run` with standard output and error as `how` says."""

    def __init__(self, stage: Stage, how: str, *options: str) -> None:
        self._ends: list[int] = []
        output: int | None = None
        command = [str(DOZOR), "run", "-c", str(stage.config), "--grace", GRACE, *options]
        if how == "closed":
            command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command]
        else:
            reading, output = os.pipe()
            self._ends = [output]
            if how == "unread":
                self._ends.append(reading)
            else:
                os.close(reading)
        self.process = subprocess.Popen(
            command, cwd=stage.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    async def term(self) -> tuple[int, float]:
        """Exit code, and seconds to the end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await until(lambda: self.process.poll() is not None, within=PATIENCE)
        return self.process.wait(), time.monotonic() - began

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in self._ends:
            os.close(end)


@pytest.fixture
def stage(stage: Stage) -> Stage:
    shutil.copy(Path(__file__).with_name("stubborn.py"), stage.folder / "stubborn.py")
    return stage


@pytest.mark.parametrize("how", ["unread", "broken", "closed"])
async def test_a_runner_whose_output_nobody_takes_supervises_and_ends(
    stage: Stage, database: str, how: str
) -> None:
    quick = {**TICK, "every": "100ms"}
    stage.write(
        {"tick": quick, "talk": {"run": "stubborn:talk", "every": "300ms"}}, url=database, language="en"
    )
    runner = Unheard(stage, how)
    try:
        await until(lambda: len(stage.runs("tick")) > 15, within=PATIENCE)
        assert (await stage.status("talk"))["runs_total"] > 2
        code, seconds = await runner.term()
        print(f"output {how}: ended after {seconds:.1f} s with exit code {code}")
        assert (code, seconds < LATEST) == (0, True)
    finally:
        runner.close()


@pytest.mark.usefixtures("quick_end")
async def test_sigterm_ends_the_runner_whatever_checkers_hold(stage: Stage, database: str) -> None:
    held = {
        "to_thread": {"run": "stubborn:stuck_to_thread"},
        "thread": {"run": "stubborn:stuck_thread"},
        "apart": {"run": "stubborn:stuck_thread", "isolation": "process"},
    }
    tasks = {name: {"every": "200ms", **task} for name, task in held.items()}
    stage.write({"tick": TICK, **tasks}, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    for name in held:
        await process.says(f"Starting background task: {name}")
    await until(lambda: len(stage.runs("tick")) > 5, within=PATIENCE)
    await until(lambda: "is ready" in process.text or len(stage.runs("tick")) > 20, within=PATIENCE)
    began = time.monotonic()
    assert await process.stop() == 0
    seconds = time.monotonic() - began
    print(f"ended after {seconds:.1f} s")
    assert seconds < LATEST
    for said in (
        "A thread that task to_thread has started does not end",
        "Task thread would not stop",
        "does not end when asked and is killed",
    ):
        assert said in process.text, said


@pytest.mark.usefixtures("quick_end")
@pytest.mark.parametrize(
    ("function", "every", "said"),
    [
        ("stuck_thread_of_its_own", "200ms", "Still running: left alone"),
        ("ignores_cancellation", "1h", "Still running: asyncio"),
    ],
)
async def test_an_interpreter_that_does_not_end_is_ended(
    stage: Stage, database: str, function: str, every: str, said: str
) -> None:
    stage.constants["dozor.cli.run.END_SECONDS"] = 1.0  # five in `make soak`
    held = {"run": f"stubborn:{function}", "every": every}
    stage.write({"held": held}, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    await process.says("Starting background task: held")
    began = time.monotonic()
    assert await process.stop() == 0
    assert time.monotonic() - began < LATEST
    assert said in process.text


async def test_what_a_library_takes_from_the_runner_is_taken_back(stage: Stage, database: str) -> None:
    stage.write({"takes": {"run": "stubborn:takes_over", "every": "200ms"}}, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    await process.says("A library has removed the handlers of the log")
    await process.says("A library has replaced the handler of SIGTERM")
    await process.says("A library has replaced the handler of SIGINT")
    said = process.text.count("a line")
    await process.says("a line", times=said + 3)
    assert await process.stop() == 0
    assert "SIGTERM: ending" in process.text


async def test_a_runner_whose_process_a_checker_has_spoiled_goes_on_and_ends(
    stage: Stage, database: str
) -> None:
    spoils = {"run": "stubborn:spoils", "every": "1h"}
    stage.write({"tick": TICK, "spoils": spoils}, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    await process.says("spoils called shutdown_default_executor() of the event loop")
    await process.says("SIGALRM came, which nothing handles")
    await process.says("has changed sys.setrecursionlimit")
    before = len(stage.runs("tick"))
    await until(lambda: len(stage.runs("tick")) > before + 5, within=PATIENCE)
    assert (await stage.status("tick"))["failures_total"] == 0
    assert await process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_module_that_hangs_at_import_is_named_and_a_signal_ends_the_runner(
    stage: Stage, database: str, number: signal.Signals
) -> None:
    (stage.folder / "slow_module.py").write_text("import time\ntime.sleep(600)\n")
    stage.write({"slow": {"run": "slow_module:check", "every": "1s"}}, url=database, language="en")
    process = stage.run()
    await process.says("Importing module slow_module, for ")
    process.signal(number)
    assert await process.ends(within=5) == 0
    assert "while module slow_module was being imported" in process.text


async def test_a_hung_module_of_an_isolated_task_stops_that_task_and_no_other(
    stage: Stage, database: str
) -> None:
    (stage.folder / "slow_module.py").write_text("import time\ntime.sleep(600)\n")
    slow = {"run": "slow_module:check", "cron": "0 3 1 1 *", "isolation": "process"}
    stage.constants["dozor.config.imports.probing.PROBE_SECONDS"] = 2.0  # ten in `make soak`
    stage.write({"tick": TICK, "slow": slow}, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    await process.says("🛑 slow stopped")
    assert "the import of module slow_module does not end within " in process.text
    await until(lambda: len(stage.runs("tick")) > 3, within=PATIENCE)
    assert (await stage.status("slow"))["state"] == "stopped"
    assert await process.stop() == 0


async def test_a_reload_takes_a_function_that_is_new_in_an_imported_module_if_isolated(
    stage: Stage, database: str
) -> None:
    module = stage.folder / "grows.py"
    module.write_text("from stubborn import tick\n")
    tasks = {"first": {**TICK, "run": "grows:tick"}}
    stage.write(tasks, url=database, language="en")
    process = await stage.watch("--grace", GRACE)
    await until(lambda: bool(stage.runs("first")), within=PATIENCE)
    module.write_text("from stubborn import tick\nsecond = tick\n\ndef third(ctx):\n    tick(ctx)\n")
    tasks["third"] = {**TICK, "run": "grows:third", "isolation": "process"}
    stage.write(tasks, url=database, language="en")
    assert (await stage.cli("reload")).code == 0
    await until(lambda: bool(stage.runs("third")), within=PATIENCE)
    assert "grows.py is newer than what was imported; these tasks run the old code" in process.text
    tasks["fourth"] = {**TICK, "run": "grows:third"}
    stage.write(tasks, url=database, language="en")
    assert (await stage.cli("check")).code == 0
    answer = await stage.cli("reload")
    assert answer.code == 1
    assert "grows.py is newer than what was imported; restart the runner" in process.text
    assert await process.stop() == 0
