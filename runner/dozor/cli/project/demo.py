"""`dozor demo`: a demonstration on a made-up marketplace."""

from __future__ import annotations

import os
import sys

import click

from dozor.cli.terminal.session import run_async
from dozor.errors import DozorError
from dozor.extras import Extra, install_command, is_installed
from dozor.language import msg

EXIT_INTERRUPTED = 130
"""As a shell reports a process that SIGINT ended."""


@click.command(help=msg("cli-help-demo"))
@click.option("--language", type=click.Choice(["ru", "en"]), help=msg("cli-help-demo-language"))
@click.option(
    "--speed",
    type=click.FloatRange(0.25, 20.0),
    default=1.0,
    show_default=True,
    metavar=msg("cli-metavar-number"),
    help=msg("cli-help-demo-speed"),
)
def demo(language: str | None, speed: float) -> None:
    """Show failures, alerts, a critical stop and a recovery in under a minute."""
    missing = [extra for extra in (Extra.EMBEDDED, Extra.TON) if not is_installed(extra)]
    if missing:
        raise DozorError(msg("cli-demo-needs", command=install_command(*missing)))
    from dozor.language.names import Language
    from dozor.language.process import use_language
    from dozor_market.demo.stage import play
    from dozor_market.demo.words import choose_language

    chosen = Language(language) if language else choose_language(os.environ, sys.stdout.encoding or "utf-8")
    use_language(chosen)
    if not run_async(play(chosen, speed, sys.stdout)):
        raise SystemExit(EXIT_INTERRUPTED)
