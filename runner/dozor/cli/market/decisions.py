"""`dozor market quarantined|release|cancel|reassign`: decisions about money, recorded in the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.cli.task_commands import cli_actor
from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.session import database, run_async
from dozor.language import msg

if TYPE_CHECKING:
    from dozor.cli.market.rescan import CliAudit
    from dozor.storage.postgres.pool import Connection
    from dozor_market.decisions.quarantine import Quarantined

KINDS = ("auction", "presale", "transaction")
"""Those of dozor_market.decisions.quarantine.ItemKind, which is not imported before a command runs."""
reason_option = click.option("--reason", default="", help=msg("cli-help-reason"))


@click.command(help=msg("cli-help-quarantined"))
@config_option
def quarantined(config_path: Path) -> None:
    """List what the marketplace's checkers set aside."""
    items = run_async(_read(config_path))
    for item in items:
        click.echo(_line(item))
    if not items:
        click.echo(msg("cli-quarantined-none"))


@click.command(help=msg("cli-help-release"))
@config_option
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("number", metavar=msg("cli-metavar-number"), type=int)
@reason_option
def release(config_path: Path, kind: str, number: int, reason: str) -> None:
    """Return item NUMBER to its checker, once it is repaired; settled at once if it is due."""
    click.echo(run_async(_release(config_path, kind, number, reason)))


@click.command(help=msg("cli-help-cancel"))
@config_option
@click.argument("auction", metavar=msg("cli-metavar-auction"), type=int)
@reason_option
def cancel(config_path: Path, auction: int, reason: str) -> None:
    """Cancel AUCTION, open or quarantined: every bid's money goes back to its bidder."""
    click.echo(run_async(_cancel(config_path, auction, reason)))


@click.command(help=msg("cli-help-reassign"))
@config_option
@click.argument("deposit", metavar=msg("cli-metavar-deposit"), type=int)
@click.argument("user", metavar=msg("cli-metavar-user"), type=int)
@reason_option
def reassign(config_path: Path, deposit: int, user: int, reason: str) -> None:
    """Move DEPOSIT from the user who got it to USER."""
    click.echo(run_async(_reassign(config_path, deposit, user, reason)))


@asynccontextmanager
async def _connection(config_path: Path) -> AsyncIterator[Connection]:
    async with database(config_path, "market") as (_, pool), pool.acquire() as connection:
        yield connection


def _audit() -> CliAudit:
    from dozor.cli.market.rescan import CliAudit

    return CliAudit(cli_actor())


def _line(item: Quarantined) -> str:
    return msg(
        "cli-quarantined-line",
        item=f"{item.kind} {item.id}",
        reason=item.reason or msg("cli-quarantined-no-reason"),
        since="-" if item.since is None else f"{item.since:%Y-%m-%d %H:%M:%S} UTC",
    )


async def _read(config_path: Path) -> list[Quarantined]:
    from dozor_market.decisions.quarantine import read_quarantined

    async with _connection(config_path) as connection:
        return await read_quarantined(connection)


async def _release(config_path: Path, kind: str, number: int, reason: str) -> str:
    from dozor_market.decisions import quarantine

    async with _connection(config_path) as connection:
        done = await quarantine.release(
            connection, quarantine.ItemKind(kind), number, audit=_audit(), reason=reason
        )
    if done.kind is quarantine.ItemKind.TRANSACTION:
        return msg("cli-released-transaction", item=done.state)
    return msg("cli-released", item=f"{done.kind} {done.id}", state=done.state)


async def _cancel(config_path: Path, auction: int, reason: str) -> str:
    from dozor_market.decisions.cancelling import cancel_auction

    async with _connection(config_path) as connection:
        done = await cancel_auction(connection, auction, audit=_audit(), reason=reason)
    return msg("cli-cancelled", auction=str(done.auction_id), count=done.bids)


async def _reassign(config_path: Path, deposit: int, user: int, reason: str) -> str:
    from dozor_market.decisions import attribution

    async with _connection(config_path) as connection:
        done = await attribution.reassign(connection, deposit, user, audit=_audit(), reason=reason)
    return msg(
        "cli-reassigned",
        amount=str(done.amount),
        currency=done.currency,
        deposit=str(deposit),
        old=str(done.from_user),
        user=str(user),
    )
