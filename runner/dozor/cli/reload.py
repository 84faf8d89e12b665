"""`dozor reload`: apply a changed configuration, without a restart."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from dozor.cli.task_commands import user_name
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import run_async, runner_at_work
from dozor.config.imports.checkers import check_file
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandReason, CommandResult, RunnerCommand, submit, wait
from dozor.language import msg

_SAYS = {
    CommandReason.DONE: "cli-reload-done",
    CommandReason.ALREADY: "cli-reload-already",
    CommandReason.INVALID: "cli-reload-invalid",
    CommandReason.NO_RUNNER: "cli-reload-no-runner",
    CommandReason.TIMEOUT: "cli-reload-timeout",
}


@click.command(help=msg("cli-help-reload"))
@config_option
@click.option(
    "--timeout",
    type=float,
    default=30.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-timeout"),
)
def reload(config_path: Path, *, timeout: float) -> None:
    """Apply the configuration file as it is now: new, changed and removed tasks only."""
    check_file(config_path)  # its mistakes are reported here, before the runner is asked
    result = run_async(_ask(config_path, timeout))
    said = _SAYS.get(result.reason)
    text = msg("cli-not-done", reason=result.reason.value) if said is None else msg(said)
    click.echo(text, err=not result.ok)
    if not result.ok:
        raise SystemExit(EXIT_FAILED)


async def _ask(config_path: Path, timeout: float) -> CommandResult:
    host = socket.gethostname()
    actor = Actor(Source.CLI, f"{user_name()}@{host}", host)
    async with runner_at_work(config_path) as (_, pool):
        async with pool.acquire() as connection, connection.transaction():
            command_id = await submit(connection, RunnerCommand.RELOAD, "", actor)
        return await wait(pool, command_id, timeout=timeout)
