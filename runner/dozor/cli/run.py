"""`dozor run`: the main job."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.cli.options import EXIT_FAILED, EXIT_HUNG, config_option
from dozor.language import msg

if TYPE_CHECKING:
    from dozor.app.escapes import Escapes


@click.command(help=msg("cli-help-run"))
@config_option
@click.option("--wait", is_flag=True, help=msg("cli-help-wait"))
@click.option(
    "--grace",
    type=float,
    default=10.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-grace"),
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help=msg("cli-help-log-level"),
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "human", "json"]),
    default="auto",
    show_default=True,
    envvar="DOZOR_LOG_FORMAT",
    help=msg("cli-help-log-format"),
)
def run(config_path: Path, *, wait: bool, grace: float, log_level: str, log_format: str) -> None:
    """Supervise the checkers of the configuration until SIGTERM or SIGINT."""
    from dozor.app.escapes import Escapes
    from dozor.lifecycle import run_to_end
    from dozor.supervision.runs.ownership import own_tasks, own_threads

    with asyncio.Runner() as loop:
        escaped = Escapes()
        own_tasks(loop.get_loop())
        own_threads()
        main = _run(
            config_path,
            escaped,
            wait=wait,
            grace=grace,
            log_level=log_level.upper(),
            log_format=log_format,
        )
        code = run_to_end(loop.get_loop(), main, escaped)
    sys.exit(code)


async def _run(
    config_path: Path, escaped: Escapes, *, wait: bool, grace: float, log_level: str, log_format: str
) -> int:
    from dozor.app import Runner
    from dozor.errors import RunHungError
    from dozor.forking import own_loop
    from dozor.lifecycle import on_signal, on_signals
    from dozor.logs import LogFormat, configure

    own_loop(asyncio.get_running_loop())
    stop = asyncio.Event()
    on_signals(stop)
    runner = Runner.from_config(config_path, wait=wait, grace=grace)
    configure(
        runner.redactor, level=log_level, form=LogFormat(log_format), details=runner.details_for_the_log
    )
    starting = asyncio.create_task(runner.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    await starting
    escaped.report = runner.report_escape
    on_signal(signal.SIGHUP, runner.reloader.soon, "SIGHUP")
    # What is there by now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        await asyncio.wait((stopping, runner.failed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await runner.stop()
    code = 0
    if runner.failed.done():
        click.echo(f"dozor: {runner.failed.result()}", err=True)
        code = EXIT_HUNG if isinstance(runner.failed.result(), RunHungError) else EXIT_FAILED
    if runner.unstopped:
        # The loop would wait for them, perhaps for ever.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
