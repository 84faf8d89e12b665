"""`dozor check`: is the configuration usable, do all checkers import?"""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.options import config_option


@click.command()
@config_option
def check(config_path: Path) -> None:
    """Check the configuration and import every checker; start nothing."""
    from dozor.config import load
    from dozor.config.imports import import_checkers

    config = load(config_path)
    checkers = import_checkers(config)
    disabled = len(config.tasks) - len(checkers)
    note = f", {disabled} disabled" if disabled else ""
    many = "1 task is" if len(checkers) == 1 else f"{len(checkers)} tasks are"
    click.echo(f"{config.source}: {many} fine{note}")
