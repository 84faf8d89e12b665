"""`dozor service`: the group of its commands."""

from __future__ import annotations

import click

from dozor.cli.terminal.options import DozorGroup
from dozor.language import msg


@click.group(
    cls=DozorGroup,
    help=msg("setup-help-service"),
    commands_in={"install": "dozor.cli.service.install:install"},
)
def service() -> None:
    """A systemd unit."""
