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

CHECK_ALL = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = ["dozor", "check", "-c", path]
    try:
        runpy.run_module("dozor", run_name="__main__")
    except SystemExit as ended:
        print("exit", ended.code, file=sys.stderr)
"""
"""One interpreter for several configurations."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checker = "async def check(): ...\n"
    (tmp_path / "mine.py").write_text(checker)
    (tmp_path / "with_ton.py").write_text(f"from tonutils.clients import ToncenterClient\n{checker}")
    (tmp_path / "with_charts.py").write_text(f"import matplotlib.pyplot\n{checker}")
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path


def write(path: Path, need: str) -> str:
    """A configuration; the extra that it needs."""
    sections, run, extra = NEEDS[need]
    path.write_text(f"{sections}tasks:\n  mine: {{run: '{run}'}}\n")
    return extra


def test_each_configuration_that_needs_one_is_refused_in_one_line(plain: Installed, folder: Path) -> None:
    paths = {need: folder / f"{number}.yaml" for number, need in enumerate(NEEDS)}
    extras = {path.name: write(path, need) for need, path in paths.items()}
    ran = plain.run(folder, plain.python, "-c", CHECK_ALL, *paths.values())
    assert ran.returncode == 0, ran.stderr
    said = ran.stderr.strip().splitlines()
    assert said[1::2] == ["exit 2"] * len(NEEDS), ran.stderr
    for line, (name, extra) in zip(said[::2], extras.items(), strict=True):
        assert name in line
        assert f"pip install 'dozor[{extra}]'" in line
    assert not (folder / ".dozor").exists()


@pytest.mark.parametrize(
    ("need", "mode"),
    [("channels", "check"), ("embedded", "run"), ("embedded", "library"), ("ton", "library")],
)
def test_a_configuration_that_needs_one_is_refused_in_one_line(
    plain: Installed, folder: Path, need: str, mode: str
) -> None:
    extra = write(folder / "config.yaml", need)
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
