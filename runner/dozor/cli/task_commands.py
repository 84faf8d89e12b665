"""`dozor restart|pause|resume|run-now NAME`: through the same door as the bot."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import click

from dozor.cli.completion import complete_task
from dozor.cli.options import EXIT_FAILED, config_option
from dozor.cli.session import database, run_async
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandName, CommandReason, CommandResult, submit, wait

_SAYS = {
    CommandReason.DONE: "{name}: done, now {state}",
    CommandReason.ALREADY: "{name}: nothing to do, it is {state}",
    CommandReason.UNKNOWN_TASK: "There is no task {name}: see `dozor status`",
    CommandReason.DISABLED: "{name} is disabled in the configuration (enabled: false)",
    CommandReason.EXPIRED: "{name}: nobody took the command in time; it is withdrawn",
    CommandReason.NO_RUNNER: "No runner works on this database: start one with `dozor run`; "
    "the command is withdrawn",
    CommandReason.TIMEOUT: "{name}: the runner has not answered yet; see `dozor status`",
}


def _command(command: CommandName, help_text: str) -> click.Command:
    @click.command(name=command.value, help=help_text)
    @config_option
    @click.argument("name", shell_complete=complete_task)
    @click.option("--timeout", type=float, default=10.0, show_default=True, help="Seconds to wait.")
    def act(config_path: Path, name: str, timeout: float) -> None:
        result = run_async(_ask(config_path, command, name, timeout))
        state = result.state.value if result.state is not None else "unknown"
        text = _SAYS[result.reason].format(name=name, state=state)
        click.echo(text, err=not result.ok)
        if not result.ok:
            raise SystemExit(EXIT_FAILED)

    return act


async def _ask(config_path: Path, command: CommandName, name: str, timeout: float) -> CommandResult:
    async with database(config_path) as (_, pool):
        async with pool.acquire() as connection, connection.transaction():
            command_id = await submit(connection, command, name, cli_actor())
        return await wait(pool, command_id, timeout=timeout)


def cli_actor() -> Actor:
    """Who runs this command, and on which host."""
    host = socket.gethostname()
    return Actor(Source.CLI, f"{user_name()}@{host}", host)


def user_name() -> str:
    """Who runs this command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return "somebody"


restart = _command(CommandName.RESTART, "Start a task anew, now: a stopped one, or one in progress.")
pause = _command(CommandName.PAUSE, "No new runs of a task until it is resumed.")
resume = _command(CommandName.RESUME, "Go on with a paused task.")
run_now = _command(CommandName.RUN_NOW, "Run a task once, now, whatever its schedule.")
