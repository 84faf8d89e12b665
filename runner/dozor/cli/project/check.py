"""`dozor check`: validates the configuration and imports every checker."""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.progress import Progress
from dozor.language import msg


@click.command(help=msg("cli-help-check"))
@config_option
def check(config_path: Path) -> None:
    """Check the configuration and import every checker; start nothing."""
    from dozor.config.imports.checkers import check_file

    with Progress(msg("cli-progress-check")) as progress:
        loaded = check_file(config_path, progress=progress)
    config = loaded.config
    for hint in config.hints:
        click.echo(hint, err=True)
    disabled = sum(not task.enabled for task in config.tasks)
    count = len(config.tasks) - disabled
    text = msg("cli-check-fine", file=config.source, count=count)
    click.echo(msg("cli-check-disabled", text=text, count=disabled) if disabled else text)
    for note in loaded.notes:
        click.echo(f"  {note}")
