"""The command line. Nothing here loads aiogram, and each command imports only what it needs."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path

import click

from dozor.cli.terminal.click_texts import translate_click
from dozor.cli.terminal.layout import NARROWEST
from dozor.cli.terminal.options import DozorGroup, HelpFormatter, configuration_named, show_version
from dozor.language.process import from_file, use_language
from dozor.process.standard_streams import open_missing_streams

HELP_FROM = 52
"""Columns from which click fits its help to the terminal by itself."""


@click.group(
    cls=DozorGroup,
    commands_in={
        "init": "dozor.cli.project.init:init",
        "run": "dozor.cli.run:run",
        "try": "dozor.cli.project.try_once:try_once",
        "check": "dozor.cli.project.check:check",
        "status": "dozor.cli.status:status",
        "replicas": "dozor.cli.replicas:replicas",
        "history": "dozor.cli.status:history",
        "incidents": "dozor.cli.status:incidents",
        "why": "dozor.cli.why:why",
        "restart": "dozor.cli.task_commands:restart",
        "pause": "dozor.cli.task_commands:pause",
        "resume": "dozor.cli.task_commands:resume",
        "run-now": "dozor.cli.task_commands:run_now",
        "errors": "dozor.cli.errors:errors",
        "ack": "dozor.cli.alert_commands:ack",
        "silence": "dozor.cli.alert_commands:silence",
        "unsilence": "dozor.cli.alert_commands:unsilence",
        "oncall": "dozor.cli.alert_commands:oncall",
        "reload": "dozor.cli.reload:reload",
        "market": "dozor.cli.market.commands:market",
        "attribute": "dozor.cli.market.commands:old_attribute",
        "migrate": "dozor.cli.migrate:migrate",
        "telegram": "dozor.cli.telegram.commands:telegram",
        "service": "dozor.cli.service.commands:service",
        "doctor": "dozor.cli.doctor:doctor",
        "health": "dozor.cli.health:health",
        "schema": "dozor.cli.project.schema:schema",
        "completion": "dozor.cli.terminal.completion:completion",
        "demo": "dozor.cli.project.demo:demo",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version)
@click.option("-c", "--config", "config_before", type=click.Path(path_type=Path, dir_okay=False))
def cli(config_before: Path | None) -> None:
    """Supervises background checkers: restarts them, stops them and alerts people."""


def main() -> None:
    """The entry point of the `dozor` command.

    The language is chosen before any command is imported: help and usage errors are in it as well.
    """
    # Reading a configuration of 10,000 tasks makes a million objects that stay: by default the collector
    # looks at all of them again and again, which takes a third of the time. `dozor run` sets its own limits.
    gc.set_threshold(100_000, 50, 50)
    open_missing_streams()
    use_language(from_file(configuration_named(sys.argv[1:]), os.environ))
    translate_click()
    click.Context.formatter_class = HelpFormatter
    columns = shutil.get_terminal_size().columns
    if columns < HELP_FROM:
        cli.context_settings["terminal_width"] = max(NARROWEST, columns)
    sys.exit(cli(prog_name="dozor"))
