"""A plain install, and something that needs an extra: one line with the command that adds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed.environment import Installed

ELSEWHERE = "database: {url: 'postgresql://h/d'}\n"
SECRET = "JBSWY3DPEHPK3PXP" * 2
NEEDS = {
    "embedded by default": ("", "mine:check", "embedded"),
    "embedded": ("database: {url: embedded}\n", "mine:check", "embedded"),
    "totp": (f"{ELSEWHERE}telegram: {{totp: {{secrets: {{1: {SECRET}}}}}}}\n", "mine:check", "totp"),
    "channels": (
        f"{ELSEWHERE}alerts: {{second_channel: {{urls: ['json://h']}}}}\n",
        "mine:check",
        "channels",
    ),
    "ton": (ELSEWHERE, "dozor_market.ton_deposits:check_transactions", "ton"),
    "a library of ton": (ELSEWHERE, "with_ton:check", "ton"),
    "a library of charts": (ELSEWHERE, "with_charts:check", "charts"),
}
"""Sections, a checker, and the extra that is missing."""
PROGRAM = """
import asyncio

from dozor import Runner


async def main():
    async with Runner.from_config("config.yaml"):
        raise SystemExit("it started")


asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checker = "async def check(): ...\n"
    (tmp_path / "mine.py").write_text(checker)
    (tmp_path / "with_ton.py").write_text(f"from tonutils.clients import ToncenterClient\n{checker}")
    (tmp_path / "with_charts.py").write_text(f"import matplotlib.pyplot\n{checker}")
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.parametrize(
    ("need", "mode"),
    [*((need, "check") for need in NEEDS), ("embedded", "run"), ("embedded", "library"), ("ton", "library")],
)
def test_a_configuration_that_needs_one_is_refused_in_one_line(
    plain: Installed, folder: Path, need: str, mode: str
) -> None:
    sections, run, extra = NEEDS[need]
    (folder / "config.yaml").write_text(f"{sections}tasks:\n  mine: {{run: '{run}'}}\n")
    command: list[str | Path] = [plain.dozor, mode] if mode != "library" else [plain.python, "app.py"]
    ran = plain.run(folder, *command)
    said = ran.stderr.strip().splitlines()
    if mode == "library":
        assert ran.returncode == 1
        assert said[-1].startswith("dozor.errors.ConfigError: ")
    else:
        assert ran.returncode == 2
        assert len(said) == 1, ran.stderr
    assert "config.yaml" in said[-1]
    assert f"pip install 'dozor[{extra}]'" in said[-1]
    assert not (folder / ".dozor").exists()


def test_the_demo_names_what_it_needs(plain: Installed, folder: Path) -> None:
    ran = plain.run(folder, plain.dozor, "demo")
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines() == [
        "dozor: the demo needs more than is installed: pip install 'dozor[embedded,ton]'"
    ]


def test_the_database_commands_name_the_extra_too(plain: Installed, folder: Path) -> None:
    (folder / "config.yaml").write_text("database: {url: embedded}\ntasks:\n  mine: {run: 'mine:check'}\n")
    ran = plain.run(folder, plain.dozor, "migrate")
    assert ran.returncode == 1
    [line] = ran.stderr.strip().splitlines()
    assert "pip install 'dozor[embedded]'" in line
