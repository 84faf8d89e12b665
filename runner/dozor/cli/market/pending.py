"""`dozor market pending|approve|reject`: TON transfers that are not credited on one provider's word."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.session import database, run_async
from dozor.language import msg

if TYPE_CHECKING:
    from dozor.storage.postgres.pool import Connection
    from dozor_market.ton.agreement.pending import Pending


@click.command(help=msg("cli-help-pending"))
@config_option
def pending(config_path: Path) -> None:
    """List TON transfers that wait for a second provider or for a person."""
    for one in run_async(_read(config_path)):
        click.echo(_line(one))


@click.command(help=msg("cli-help-approve"))
@config_option
@click.argument("pending_id", metavar=msg("cli-metavar-id"), type=int)
def approve(config_path: Path, pending_id: int) -> None:
    """Credit pending transfer ID, as an alert named it. Find it in a block explorer first."""
    from dozor_market.ton.agreement import pending as transfers

    click.echo(run_async(_decide(config_path, "approve", pending_id, transfers.approve)))


@click.command(help=msg("cli-help-reject"))
@config_option
@click.argument("pending_id", metavar=msg("cli-metavar-id"), type=int)
def reject(config_path: Path, pending_id: int) -> None:
    """Never credit pending transfer ID, whatever providers say later."""
    from dozor_market.ton.agreement import pending as transfers

    click.echo(run_async(_decide(config_path, "reject", pending_id, transfers.reject)))


def _line(one: Pending) -> str:
    from dozor_market.ton.agreement.pending import money_in_words
    from dozor_market.ton.messages.comments import shown

    return msg(
        "cli-pending-line",
        id=str(one.id),
        state=one.state,
        money=money_in_words(one.amount, one.currency, one.decimals, one.attached),
        account=one.account,
        sender=one.sender or msg("log-ton-nobody"),
        comment=shown(one.comment),
        lt=str(one.lt),
        hash=one.hash.hex(),
        at=f"{one.received_at:%Y-%m-%d %H:%M:%S}",
        providers=", ".join(one.providers),
    )


async def _read(config_path: Path) -> list[Pending]:
    from dozor_market.ton.agreement.pending import read_pending

    async with database(config_path, "market") as (_, pool), pool.acquire() as connection:
        return await read_pending(connection)


async def _decide(
    config_path: Path, action: str, pending_id: int, act: Callable[[Connection, int], Awaitable[str]]
) -> str:
    from dozor.cli.task_commands import user_name
    from dozor.control.commands.actor import Actor, Source
    from dozor.control.commands.audit import record

    host = socket.gethostname()
    async with (
        database(config_path, "market") as (_, pool),
        pool.acquire() as connection,
        connection.transaction(isolation="read_committed"),
    ):
        done = await act(connection, pending_id)
        actor = Actor(Source.CLI, f"{user_name()}@{host}", host)
        await record(connection, actor, action, f"pending transfer {pending_id}", done)
    return done
