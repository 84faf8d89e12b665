"""`dozor market`: decisions of people about the marketplace's money."""

from __future__ import annotations

import click

from dozor.cli.options import DozorGroup
from dozor.language import msg


@click.group(
    cls=DozorGroup,
    commands_in={
        "pending": "dozor.cli.pending:pending",
        "approve": "dozor.cli.pending:approve",
        "reject": "dozor.cli.pending:reject",
    },
    help=msg("cli-help-market"),
)
def market() -> None:
    """Decide about deposits that the checkers leave to a person."""
