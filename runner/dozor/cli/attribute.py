"""`dozor attribute DEPOSIT USER`: gives a deposit without an owner to its owner."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from dozor.cli.options import config_option
from dozor.cli.session import database, run_async
from dozor.language import msg


@click.command(help=msg("cli-help-attribute"))
@config_option
@click.argument("deposit", type=int, metavar=msg("cli-metavar-deposit"))
@click.argument("user", type=int, metavar=msg("cli-metavar-user"))
def attribute(config_path: Path, deposit: int, user: int) -> None:
    """Credit unmatched DEPOSIT, as an alert named it, to USER."""
    click.echo(run_async(_attribute(config_path, deposit, user)))


async def _attribute(config_path: Path, deposit: int, user: int) -> str:
    from dozor.cli.task_commands import user_name
    from dozor.control.commands.actor import Actor, Source
    from dozor.control.commands.audit import record
    from dozor_market import attribution

    host = socket.gethostname()
    async with (
        database(config_path, "market") as (_, pool),
        pool.acquire() as connection,
        connection.transaction(),
    ):
        done = await attribution.attribute(connection, deposit, user)
        actor = Actor(Source.CLI, f"{user_name()}@{host}", host)
        await record(connection, actor, "attribute", f"deposit {deposit}", done)
    return done
