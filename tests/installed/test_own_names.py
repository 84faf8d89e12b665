"""A project with its own `bot` and `runner`, Dozor installed from the wheel: alerts arrive in every mode."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bot.botapi.server import BotApi
from tests.effort import SOAK
from tests.installed.environment import Installed
from tests.system.process import Process
from tests.system.telegram import chat_has, section
from tests.waiting import until

CHECKER = """
import json, pathlib, sys

import dozor

async def {function}(ctx):
    import {module}
    seen = {{
        "dozor": dozor.__file__,
        "own": {module}.__file__,
        "paths": sys.path,
        "child": (
            "dozor.supervision.execution.process.worker" in sys.modules and "dozor.app" not in sys.modules
        ),
    }}
    pathlib.Path(ctx.task + ".json").write_text(json.dumps(seen))
    raise RuntimeError("{module} is out of order")
"""
PROGRAM = """
import asyncio

import {module}
from dozor import Runner

async def main():
    async with Runner.from_config("config.yaml") as runner:
        print("embedded beside", {module}.__file__, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
FOLDERS = {"bot/__init__.py": "", "bot.py": "raise SystemExit('the file beside the package')\n"}
LAYOUTS: dict[str, tuple[dict[str, str], tuple[str, str]]] = {
    "packages": (
        FOLDERS
        | {"bot/checks.py": CHECKER.format(module="bot.checks", function="check")}
        | {
            "runner/__init__.py": "",
            "runner/feed.py": CHECKER.format(module="runner.feed", function="check"),
        },
        ("bot.checks", "runner.feed"),
    ),
    "packages without __init__": (
        {
            "bot/checks.py": CHECKER.format(module="bot.checks", function="check"),
            "runner/checkers/auctions.py": CHECKER.format(
                module="runner.checkers.auctions", function="check"
            ),
        },
        ("bot.checks", "runner.checkers.auctions"),
    ),
    "files": (
        {
            "bot.py": CHECKER.format(module="bot", function="check"),
            "runner.py": CHECKER.format(module="runner", function="check"),
        },
        ("bot", "runner"),
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()
        print(process.text[-3000:])


def lay_out(folder: Path, layout: str, api: BotApi, database: str) -> dict[str, str]:
    """The project and its configuration; tasks and the module each runs."""
    files, modules = LAYOUTS[layout]
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    tasks: dict[str, dict[str, Any]] = {}
    for number, module in enumerate(modules):
        task = {"run": f"{module}:check", "every": "1h", "restart_delay": "100ms"}
        tasks[f"here_{number}"] = task
        tasks[f"child_{number}"] = {**task, "isolation": "process"}
    whole = {
        "language": "en",
        "database": {"url": database},
        "telegram": section(api),
        "web": {"listen": None},
        "tasks": tasks,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))
    (folder / "app.py").write_text(PROGRAM.format(module=modules[0]))
    return {name: task["run"].partition(":")[0] for name, task in tasks.items()}


def command(plain: Installed, mode: str) -> list[str | Path]:
    return [plain.dozor, "run"] if mode == "standalone" else [plain.python, "app.py"]


USUAL = [
    ("packages", "standalone"),
    ("packages without __init__", "embedded"),
    ("files", "standalone"),
]
MORE = [("packages", "embedded"), ("packages without __init__", "standalone"), ("files", "embedded")]


@pytest.mark.parametrize(("layout", "mode"), USUAL + (MORE if SOAK else []))
async def test_the_users_modules_run_here_and_in_a_child_and_their_alerts_arrive(
    plain: Installed,
    folder: Path,
    telegram: BotApi,
    database: str,
    processes: list[Process],
    layout: str,
    mode: str,
) -> None:
    tasks = lay_out(folder, layout, telegram, database)
    process = Process(command(plain, mode), cwd=folder, output=folder / "output.txt")
    processes.append(process)
    if mode == "embedded":
        await process.says(f"embedded beside {folder}/")
    await chat_has(telegram, *(f"🛑 {name} stopped: 5 errors in a row" for name in tasks), within=90)
    said = "\n".join(message.text for message in telegram.world.sent(section(telegram)["chat"]))
    for name, module in tasks.items():
        assert f"RuntimeError: {module} is out of order" in said
        seen = json.loads((folder / f"{name}.json").read_text())
        assert Path(seen["dozor"]) == plain.site / "dozor" / "__init__.py"
        assert Path(seen["own"]).is_relative_to(folder)
        assert seen["child"] is name.startswith("child")
    await until(lambda: process.alive, within=1)


def test_check_imports_the_users_modules_and_explains_clashes_and_old_names(
    plain: Installed, folder: Path
) -> None:
    for name in ("bot/__init__.py", "bot/feed.py", "runner/feed.py", "colorsys.py", "loguru.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("async def feed(): ...\n")
    (folder / "old.py").write_text("from runner import Context\n")
    (folder / "config.yaml").write_text(
        textwrap.dedent("""
        language: en
        database: {url: "postgresql://h/d"}
        tasks:
          bot: {run: "bot.feed:feed"}
          runner: {run: "runner.feed:feed"}
          auctions: {run: "runner.checkers.auctions:check_auctions"}
          old: {run: "old:feed"}
          standard: {run: "colorsys:feed"}
          installed: {run: "loguru:feed"}
        """).lstrip()
    )
    ran = plain.run(folder, plain.dozor, "check")
    assert ran.returncode == 2
    lines = ran.stderr.splitlines()
    assert [line.partition(":")[2].partition(":")[0] for line in lines] == ["6", "7", "8", "9"], ran.stderr
    assert lines[0].startswith("config.yaml:6: tasks.auctions.run: no module named runner.checkers; ")
    assert lines[0].endswith(
        "; runner.checkers.auctions is now dozor_market.auctions, write dozor_market.auctions:check_auctions"
    )
    assert "runner is now dozor; write: from dozor import Context" in lines[1]
    for line, name in zip(lines[2:], ("colorsys", "loguru"), strict=True):
        assert f"the module {name} has no feed" in line
        assert f"the one in {folder} is hidden by it: rename that one" in line


def test_nothing_else_is_installed_and_no_other_name_can_be_imported(plain: Installed, folder: Path) -> None:
    code = (
        "import importlib.util, json, dozor, dozor_bot, dozor_market\n"
        "print(json.dumps([[m.__file__ for m in (dozor, dozor_bot, dozor_market)],"
        " [name for name in ('runner', 'bot', 'tests', 'checkers') if importlib.util.find_spec(name)]]))"
    )
    files, others = json.loads(plain.run(folder, plain.python, "-c", code).stdout)
    assert files == [
        str(plain.site / name / "__init__.py") for name in ("dozor", "dozor_bot", "dozor_market")
    ]
    assert others == []
