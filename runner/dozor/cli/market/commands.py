"""`dozor market`: deposits that were missed, and decisions that the checkers leave to a person."""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.terminal.options import DozorGroup, config_option
from dozor.cli.terminal.session import run_async
from dozor.language import msg


@click.group(
    cls=DozorGroup,
    commands_in={
        "rescan": "dozor.cli.market.commands:rescan",
        "attribute": "dozor.cli.market.commands:attribute",
        "pending": "dozor.cli.market.pending:pending",
        "approve": "dozor.cli.market.pending:approve",
        "reject": "dozor.cli.market.pending:reject",
        "quarantined": "dozor.cli.market.decisions:quarantined",
        "release": "dozor.cli.market.decisions:release",
        "cancel": "dozor.cli.market.decisions:cancel",
        "reassign": "dozor.cli.market.decisions:reassign",
    },
    help=msg("cli-help-market"),
)
def market() -> None:
    """What the marketplace's checkers leave to a person."""


@click.command(help=msg("cli-help-rescan"))
@config_option
@click.argument("wallet", metavar=msg("cli-metavar-wallet"))
@click.option(
    "--from",
    "from_lt",
    type=click.IntRange(0),
    default=0,
    help=msg("cli-help-rescan-from"),
)
@click.option("--apply", "applied", is_flag=True, help=msg("cli-help-rescan-apply"))
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar=msg("cli-metavar-hash"),
    help=msg("cli-help-rescan-exclude"),
)
@click.option("--task", help=msg("cli-help-rescan-task"))
def rescan(
    config_path: Path,
    wallet: str,
    from_lt: int,
    *,
    applied: bool,
    excluded: tuple[str, ...],
    task: str | None,
) -> None:
    """Go over WALLET's history again and list the deposits that were missed."""
    from dozor.cli.market.rescan import run_rescan

    run_async(run_rescan(config_path, wallet, from_lt, applied=applied, excluded=excluded, task=task))


def _attribute_command(*, hidden: bool) -> click.Command:
    @click.command("attribute", hidden=hidden, help=msg("cli-help-attribute"))
    @config_option
    @click.argument("deposit", type=int, metavar=msg("cli-metavar-deposit"))
    @click.argument("user", type=int, metavar=msg("cli-metavar-user"))
    def command(config_path: Path, deposit: int, user: int) -> None:
        """Credit unmatched DEPOSIT, as an alert named it, to USER."""
        click.echo(run_async(_attribute(config_path, deposit, user)))

    return command


attribute = _attribute_command(hidden=False)
old_attribute = _attribute_command(hidden=True)
"""`dozor attribute`, as 0.1 called it."""


async def _attribute(config_path: Path, deposit: int, user: int) -> str:
    from dozor.cli.task_commands import cli_actor
    from dozor.cli.terminal.session import database
    from dozor.control.commands.audit import record
    from dozor.language.translator import Translator
    from dozor_market.decisions import attribution

    async with (
        database(config_path, "market") as (config, pool),
        pool.acquire() as connection,
        connection.transaction(isolation="read_committed"),
    ):
        done = await attribution.attribute(connection, deposit, user)
        await record(connection, cli_actor(), "attribute", f"deposit {deposit}", str(done))
    return Translator(config.language).format(
        "market-attributed",
        amount=str(done.amount),
        currency=done.currency,
        deposit=str(deposit),
        user=str(user),
    )
