"""`dozor check`: is the configuration usable, do all checkers import?"""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.options import config_option
from dozor.language import msg


@click.command(help=msg("cli-help-check"))
@config_option
def check(config_path: Path) -> None:
    """Check the configuration and import every checker; start nothing."""
    from dozor.config import load
    from dozor.config.imports import import_checkers

    config = load(config_path)
    checkers = import_checkers(config)
    for hint in config.hints:
        click.echo(hint, err=True)
    disabled = len(config.tasks) - len(checkers)
    text = msg("cli-check-fine", file=config.source, count=len(checkers))
    click.echo(msg("cli-check-disabled", text=text, count=disabled) if disabled else text)
