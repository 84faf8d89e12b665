"""`dozor telegram`: the group of its commands."""

from __future__ import annotations

import click

from dozor.cli.terminal.options import DozorGroup
from dozor.language import msg


@click.group(
    cls=DozorGroup, help=msg("setup-help-telegram"), commands_in={"setup": "dozor.cli.telegram.setup:setup"}
)
def telegram() -> None:
    """The bot."""
