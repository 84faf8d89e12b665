"""What `dozor market rescan` does and prints. Apart from market.py: help does not import the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dozor.cli.task_commands import cli_actor
from dozor.cli.terminal.session import database
from dozor.config import Config
from dozor.config.sections.tasks import TaskConfig
from dozor.control.commands import audit
from dozor.control.commands.actor import Actor
from dozor.errors import CommandRefusedError
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.ton_deposits import dust_limits, provider_options, single_source_limits, watch

if TYPE_CHECKING:
    from dozor_market.ton.messages.transactions import Receipt
    from dozor_market.ton.reader import Wallet
    from dozor_market.ton.wallets.rescan import Report

OPERATING: Final = "operating"
CHECKER: Final = "dozor_market.ton_deposits:check_transactions"
LIMIT_ARGS: Final = {
    "transaction": "single_source_limit",
    "in_window": "single_source_window_limit",
    "window": "single_source_window",
}
"""Parameters of `single_source_limits` and the arguments of the checker."""
DECIMALS_SQL: Final = "SELECT code, decimals FROM market.currencies"
NAMES_SQL: Final = "SELECT id, name FROM market.users WHERE id = ANY($1::bigint[])"


class CliAudit:
    """The audit of this command; satisfies dozor_market.ton.wallets.rescan.Audit."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self.actor = str(actor)

    async def record(self, connection: Connection, action: str, target: str, result: str) -> None:
        await audit.record(connection, self._actor, action, target, result)


async def run_rescan(
    config_path: Path,
    wallet: str,
    from_lt: int,
    *,
    applied: bool,
    excluded: Sequence[str],
    task: str | None,
) -> None:
    """Find what was missed, book it with `applied`, print either. Raises DozorError."""
    async with database(config_path, "market") as (config, pool):
        texts = Translator(config.language)
        provider_options(())  # fails here if the extra `ton` is not installed
        chosen = _choose_task(config, wallet, task, texts)
        options = provider_options(chosen.args.get("providers", ({"kind": "toncenter"},)))
        from dozor_market.ton.providers import port as ton
        from dozor_market.ton.wallets.rescan import Rescan, parse_hash

        hashes = [parse_hash(one) for one in excluded]
        watched = await _read_wallet(pool, chosen, wallet, texts, register=applied)
        dust = dust_limits(chosen.args.get("dust"))
        limits = single_source_limits(
            **{name: chosen.args[given] for name, given in LIMIT_ARGS.items() if given in chosen.args}
        )
        async with ton.open_providers(options, testnet=bool(chosen.args.get("testnet"))) as opened:
            rescan = Rescan(pool, opened, watched, dust, limits, CliAudit(cli_actor()))
            report = await rescan.find(from_lt, hashes)
        if applied:
            report = await rescan.apply(report, hashes)
        async with pool.acquire() as connection:
            decimals = {row["code"]: row["decimals"] for row in await connection.fetch(DECIMALS_SQL)}
            users = {one.user_id for missed in report.missed for one in missed.booked} - {None}
            rows = await connection.fetch(NAMES_SQL, list(users))
    for line in _lines(report, texts, decimals, {row["id"]: row["name"] for row in rows}):
        click.echo(line)


def _choose_task(config: Config, wallet: str, name: str | None, texts: Translator) -> TaskConfig:
    """The task whose providers are asked: by name, or the one that checks this wallet, or any that checks."""
    if name is not None:
        found = next((task for task in config.tasks if task.name == name), None)
        if found is None:
            raise CommandRefusedError(texts.format("rescan-task-unknown", task=name))
        return found
    tasks = [task for task in config.tasks if task.run == CHECKER]
    if not tasks:
        raise CommandRefusedError(texts.format("rescan-no-task", run=CHECKER))
    address = _raw(wallet, texts)
    own = (task for task in tasks if "wallet" in task.args and _raw(task.args["wallet"], texts) == address)
    return next(own, tasks[0])


def _raw(wallet: str, texts: Translator) -> str:
    from dozor_market.ton.messages.transactions import raw_address

    try:
        return raw_address(wallet)
    except ValueError as error:
        raise CommandRefusedError(texts.format("rescan-wallet-bad", wallet=wallet[:80])) from error


async def _read_wallet(
    pool: Pool, task: TaskConfig, wallet: str, texts: Translator, *, register: bool
) -> Wallet:
    """The wallet as the checker knows it: from market.ton_wallets, or from the args of a task yet to run."""
    from dozor_market.ton.reader import Wallet
    from dozor_market.ton.wallets.jettons import read_options
    from dozor_market.ton.wallets.rescan import read_wallet_row

    address = _raw(wallet, texts)
    jettons = task.args.get("jettons") or {}
    configured = "wallet" in task.args and _raw(task.args["wallet"], texts) == address
    async with pool.acquire() as connection:
        if configured and register:
            await watch(connection, address, jettons)
        found = await read_wallet_row(connection, address)
    if found is not None:
        return found
    if configured:
        named = {one.wallet: one.currency for one in read_options(jettons) if one.wallet is not None}
        return Wallet(address, None, 0, named)
    raise CommandRefusedError(texts.format("rescan-wallet-unknown", wallet=wallet[:80], task=task.name))


def _lines(
    report: Report, texts: Translator, decimals: Mapping[str, int], names: Mapping[int, str]
) -> Iterator[str]:
    """The report for a terminal: two lines for each deposit, then totals."""

    def money(amount: int, currency: str) -> str:
        return f"{_decimal(amount, decimals.get(currency, 0))} {currency} ({amount})"

    def place(receipt: Receipt) -> str:
        line = texts.format("rescan-place", lt=str(receipt.at.lt), hash=receipt.at.hash.hex())
        return f"    {line}" + (
            f"  {texts.format('rescan-sender', sender=receipt.sender)}" if receipt.sender else ""
        )

    yield texts.format("rescan-read", wallet=report.wallet, read=str(report.read))
    if report.single is not None:
        yield texts.format("rescan-single", provider=report.single)
    if report.newer:
        yield texts.format("rescan-newer", newer=str(report.newer))
    for receipt in report.excluded:
        amount = receipt.amount or receipt.attached
        yield texts.format("rescan-left-out", money=money(amount, receipt.currency))
        yield place(receipt)
    attached = [one.amount for missed in report.missed for one in missed.booked if one.state == OPERATING]
    deposits = 0
    for missed in report.missed:
        if missed.problem:
            yield texts.format("rescan-refused", reason=missed.problem)
            yield place(missed.receipt)
        if missed.held:
            receipt = missed.receipt
            value = money(receipt.amount or receipt.attached, receipt.currency)
            yield texts.format("rescan-held", money=value)
            yield place(receipt)
        for one in missed.booked:
            if one.state == OPERATING:
                continue
            deposits += 1
            value = money(one.amount, one.currency)
            if one.user_id is not None:
                yield texts.format(
                    "rescan-credited", money=value, user=str(one.user_id), name=names.get(one.user_id, "")
                )
            elif one.state == "internal":
                yield texts.format("rescan-internal", money=value)
            elif one.state == "dust":
                yield texts.format("rescan-dust", money=value)
            else:
                yield texts.format("rescan-unmatched", money=value)
            yield place(missed.receipt)
    if attached:
        yield texts.format("rescan-operating", money=money(sum(attached), "TON"), count=str(len(attached)))
    if not report.missed:
        yield texts.format("rescan-nothing")
    elif report.applied:
        yield texts.format("rescan-total-applied", deposits=deposits)
    else:
        yield texts.format("rescan-total-found", deposits=deposits)


def _decimal(amount: int, decimals: int) -> str:
    """Smallest units as whole ones: "114.5", "0.000000001"."""
    whole, rest = divmod(amount, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".") if rest else str(whole)
