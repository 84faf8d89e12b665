"""docs/cli.md names every command, and every exit code of the code."""

from __future__ import annotations

import re

import click
import pytest

from dozor.cli import cli
from dozor.cli.project import demo
from dozor.cli.terminal import options
from tests.house.sources import ROOT

PAGES = ("cli.md", "cli.ru.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_in_a_table(page: str) -> None:
    rows = re.findall(r"^\| `dozor ([a-z-]+)", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    assert set(rows) == {name for name, command in commands.items() if command and not command.hidden}


@pytest.mark.parametrize("page", PAGES)
def test_every_exit_code_is_in_the_table(page: str) -> None:
    codes = {
        int(code)
        for code in re.findall(r"^\| (\d+) \|", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
    }
    known = {
        value
        for module in (options, demo)
        for name, value in vars(module).items()
        if name.startswith("EXIT_")
    }
    assert codes == known | {0}


@pytest.mark.parametrize("page", PAGES)
def test_commands_with_json_are_those_named(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    [line] = re.findall(r"^`--json` [^.]*\.", text, re.MULTILINE)
    named = set(re.findall(r"`([a-z-]+)`", line)) - {"--json"}
    having = {
        name
        for name in cli.list_commands(click.Context(cli))
        if any("--json" in param.opts for param in cli.get_command(click.Context(cli), name).params)  # type: ignore[union-attr]
    }
    assert named == having
