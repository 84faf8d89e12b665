"""The command line. Nothing here loads aiogram, and each command imports only what it needs."""

from __future__ import annotations

import sys

import click

from runner.cli.options import DozorGroup


@click.group(
    cls=DozorGroup,
    commands_in={
        "run": "runner.cli.run:run",
        "check": "runner.cli.check:check",
        "status": "runner.cli.look:status",
        "history": "runner.cli.look:history",
        "incidents": "runner.cli.look:incidents",
        "restart": "runner.cli.act:restart",
        "pause": "runner.cli.act:pause",
        "resume": "runner.cli.act:resume",
        "run-now": "runner.cli.act:run_now",
        "reload": "runner.cli.reload:reload",
        "attribute": "runner.cli.attribute:attribute",
        "migrate": "runner.cli.migrate:migrate",
        "doctor": "runner.cli.doctor:doctor",
        "health": "runner.cli.health:health",
        "completion": "runner.cli.completion:completion",
        "demo": "runner.cli.demo:demo",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="dozor", prog_name="dozor")
def cli() -> None:
    """Dozor watches the background checkers your money depends on."""


def main() -> None:
    """The entry point of the `dozor` command."""
    sys.exit(cli(prog_name="dozor"))
