"""`dozor restart|pause|resume|run-now NAME`: through the same command queue as the bot."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

import click

from dozor.cli.terminal.completion import complete_task
from dozor.cli.terminal.layout import fitted
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import known_names, run_async, runner_at_work
from dozor.cli.terminal.task_names import the_tasks
from dozor.cli.terminal.words import state_word
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandName, CommandReason, CommandResult, submit, wait
from dozor.language import msg

_SAYS = {
    CommandReason.DONE: "cli-done",
    CommandReason.ALREADY: "cli-already",
    CommandReason.UNKNOWN_TASK: "cli-no-task",
    CommandReason.DISABLED: "cli-disabled",
    CommandReason.EXPIRED: "cli-expired",
    CommandReason.NO_RUNNER: "cli-no-runner",
    CommandReason.TIMEOUT: "cli-timeout",
    CommandReason.UNCONFIRMED: "cli-unconfirmed",
}


def _command(command: CommandName, help_text: str) -> click.Command:
    @click.command(name=command.value, help=help_text)
    @config_option
    @click.argument(
        "names", nargs=-1, required=True, shell_complete=complete_task, metavar=msg("cli-metavar-names")
    )
    @click.option(
        "--timeout",
        type=float,
        default=10.0,
        show_default=True,
        metavar=msg("cli-metavar-seconds"),
        help=msg("cli-help-timeout"),
    )
    def act(config_path: Path, names: tuple[str, ...], timeout: float) -> None:
        results = run_async(_ask(config_path, command, names, timeout))
        for name, result in results.items():
            state = msg("cli-state-unknown") if result.state is None else state_word(result.state)
            text = msg(_SAYS[result.reason], name=name, state=state)
            click.echo(fitted(text), err=not result.ok)
        if not all(result.ok for result in results.values()):
            raise SystemExit(EXIT_FAILED)

    return act


async def _ask(
    config_path: Path, command: CommandName, words: Sequence[str], timeout: float
) -> dict[str, CommandResult]:
    """By task, in the order of `words`. Nothing is submitted if one of them means no task."""
    async with runner_at_work(config_path) as (config, pool):
        names = the_tasks(words, await known_names(config, pool))
        async with pool.acquire() as connection, connection.transaction():
            asked = {name: await submit(connection, command, name, cli_actor()) for name in names}
        return {name: await wait(pool, number, timeout=timeout) for name, number in asked.items()}


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


restart = _command(CommandName.RESTART, msg("cli-help-restart"))
pause = _command(CommandName.PAUSE, msg("cli-help-pause"))
resume = _command(CommandName.RESUME, msg("cli-help-resume"))
run_now = _command(CommandName.RUN_NOW, msg("cli-help-run-now"))
