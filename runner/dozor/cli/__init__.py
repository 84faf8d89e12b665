"""The command line. Nothing here loads aiogram, and each command imports only what it needs."""

from __future__ import annotations

import sys

import click

from dozor.cli.options import DozorGroup


@click.group(
    cls=DozorGroup,
    commands_in={
        "run": "dozor.cli.run:run",
        "check": "dozor.cli.check:check",
        "status": "dozor.cli.status:status",
        "history": "dozor.cli.status:history",
        "incidents": "dozor.cli.status:incidents",
        "why": "dozor.cli.why:why",
        "restart": "dozor.cli.task_commands:restart",
        "pause": "dozor.cli.task_commands:pause",
        "resume": "dozor.cli.task_commands:resume",
        "run-now": "dozor.cli.task_commands:run_now",
        "reload": "dozor.cli.reload:reload",
        "attribute": "dozor.cli.attribute:attribute",
        "market": "dozor.cli.market:market",
        "migrate": "dozor.cli.migrate:migrate",
        "doctor": "dozor.cli.doctor:doctor",
        "health": "dozor.cli.health:health",
        "completion": "dozor.cli.completion:completion",
        "demo": "dozor.cli.demo:demo",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="dozor", prog_name="dozor")
def cli() -> None:
    """Dozor watches the background checkers your money depends on."""


def main() -> None:
    """The entry point of the `dozor` command."""
    sys.exit(cli(prog_name="dozor"))
