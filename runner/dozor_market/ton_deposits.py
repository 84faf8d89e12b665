"""The deposits' checker: what came in to our TON wallets is credited, each transaction once.

For each wallet: ask every provider for the newest transactions, find the newest one that two of them
returned, page back from it to the cursor, verify that it is one chain, then credit oldest first, in blocks,
each together with the move of the cursor. Providers that contradict each other stop the wallet.
Needs the extra `ton`, imported at the first run and not before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dozor.arguments import ArgumentProblem, checks_args
from dozor.errors import DozorError, Fatal
from dozor.extras import Extra, install_command, needs_extra
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import announce, report_backlog
from dozor.toolkit.context import CheckerContext
from dozor_market.amounts import amount_problems, read_amounts
from dozor_market.counts import seconds_problems

if TYPE_CHECKING:
    from dozor_market.ton.limits import SingleSourceLimits
    from dozor_market.ton.providers import ProviderOptions, Providers
    from dozor_market.ton.reader import Wallet

NAME: Final = "ton deposits"
DEFAULT_DUST: Final = {"TON": 10_000_000}
"""A transfer below 0.01 TON is no deposit unless the arguments say otherwise."""
WALLETS: Final = """
SELECT w.address, w.user_id, w.after_lt,
       coalesce(jsonb_object_agg(j.address, j.currency) FILTER (WHERE j.address IS NOT NULL), '{}')
         AS jetton_wallets
  FROM market.ton_wallets w LEFT JOIN market.ton_jetton_wallets j ON j.owner = w.address
 WHERE w.enabled GROUP BY w.address ORDER BY w.address"""
WATCH: Final = "INSERT INTO market.ton_wallets (address) VALUES ($1) ON CONFLICT (address) DO NOTHING"
WATCH_JETTON: Final = """
INSERT INTO market.ton_jetton_wallets (address, owner, currency) VALUES ($1, $2, $3)
ON CONFLICT (address) DO NOTHING"""
DEFAULT_UNCONFIRMED_AFTER: Final = 300.0
"""Seconds."""
DEFAULT_WINDOW: Final = 86_400.0
"""Seconds over which single_source_window_limit applies."""
_warned_about: set[str] = set()
"""Single providers that this process has logged a warning about."""


class DepositsError(DozorError):
    """Some wallets could not be read; the message says which and why. The others were credited."""


def check_deposit_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with the amounts and times in the checker's arguments."""
    yield from amount_problems(args, "dust")
    yield from amount_problems(args, "single_source_limit", "single_source_window_limit", most=None)
    yield from seconds_problems(args, "single_source_window")
    yield from seconds_problems(args, "unconfirmed_after", zero=True)
    yield from seconds_problems(args, "behind_after", optional=True, zero=True)


@needs_extra(Extra.TON)
@checks_args(check_deposit_args)
async def check_transactions(
    ctx: CheckerContext,
    *,
    providers: Sequence[Mapping[str, Any]] = ({"kind": "toncenter"},),
    wallet: str | None = None,
    jettons: Mapping[str, str] | None = None,
    dust: Mapping[str, int | str] | None = None,
    testnet: bool = False,
    behind_after: float | None = 900.0,
    single_source_limit: Mapping[str, int | str] | None = None,
    single_source_window_limit: Mapping[str, int | str] | None = None,
    single_source_window: float = DEFAULT_WINDOW,
    unconfirmed_after: float = DEFAULT_UNCONFIRMED_AFTER,
) -> None:
    """Credit what came in to the wallets of market.ton_wallets.

    providers: mappings of kind (toncenter, tonapi, lite), url, api_key, rps and timeout. Two of different
    hosts must return a transaction before it is credited; a single one is trusted up to a limit.
    single_source_limit: by currency, the amount of one transfer that is credited on the word of a single
    provider; single_source_window_limit: of all such transfers within single_source_window seconds. Above,
    the transfer waits for a person.
    unconfirmed_after: seconds that a transfer may wait for a second provider before people are alerted.
    wallet: a shared wallet, registered at the first run; jettons: its jetton wallets, by currency.
    Amounts are integers of the smallest unit, or text such as "1.5 TON" (amounts.py).
    dust: by currency, the amount below which a transfer is recorded but not credited.
    behind_after: seconds a transaction may wait before people are alerted.

    Raises DepositsError, and Fatal when the extra `ton` is not installed or an argument makes no sense.
    """
    options = provider_options(providers)
    from dozor_market.ton import providers as ton
    from dozor_market.ton import rounds
    from dozor_market.ton.alerts import alert_all
    from dozor_market.ton.pending import waiting

    rules = rounds.Rules(
        dust_limits(dust),
        single_source_limits(single_source_limit, single_source_window_limit, single_source_window),
        behind_after,
    )
    async with ctx.db.acquire() as connection:
        if wallet is not None:
            await watch(connection, wallet, jettons or {})
        wallets = await read_wallets(connection)
    problems: list[str] = []
    counts: Counter[str] = Counter()
    async with ton.open_providers(options, testnet=testnet) as opened:
        warn_about_a_single_one(ctx, opened)
        for one in wallets:
            if ctx.stopping.is_set():
                return
            try:
                counts += await rounds.read_wallet(ctx, opened, one, rules)
            except (ton.ProvidersFailedError, rounds.WalletError, ValueError) as error:
                problems.append(f"{one.address}: {error}")
        counts["confirmed later"] += await rounds.confirm_held(ctx, opened)
        log_failures(ctx, opened, "; ".join(problems))
    await alert_all(ctx, unconfirmed_after)
    await tell(ctx)
    if counts := +counts:
        ctx.log.info(msg("log-ton-counts", counts=dict(counts)))
    if problems:
        raise DepositsError("; ".join(problems))
    async with ctx.db.acquire() as connection:
        backlog = await waiting(connection)
    report_backlog(ctx, backlog, behind_after)


def warn_about_a_single_one(ctx: CheckerContext, providers: Providers) -> None:
    """Log, once in a process, that one provider is trusted."""
    name, *others = providers.names
    if others or name in _warned_about:
        return
    _warned_about.add(name)
    ctx.log.warning(msg("log-ton-single-provider", provider=name))


def log_failures(ctx: CheckerContext, providers: Providers, said: str) -> None:
    """Log what each provider failed at in this run, the same reason once, unless it is in the run's error."""
    reasons = Counter((failure.provider, failure.reason) for failure in providers.failures)
    for (provider, reason), times in reasons.items():
        if f"{provider}: {reason}" in said:
            continue
        ctx.log.warning(msg("log-ton-provider-failed", provider=provider, times=times, reason=reason))


def provider_options(providers: Sequence[Mapping[str, Any]]) -> list[ProviderOptions]:
    """`args.providers` as options. Raises Fatal when one makes no sense, or the extra is not installed."""
    try:
        from dozor_market.ton import providers as ton
    except ImportError as error:
        raise Fatal(msg("error-ton-extra", command=install_command(Extra.TON))) from error
    try:
        return [
            ton.ProviderOptions(**{**provider, "kind": ton.ProviderKind(provider["kind"])})
            for provider in providers
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Fatal(msg("error-deposit-providers", error=error)) from error


def dust_limits(given: Mapping[str, int | str] | None) -> dict[str, int]:
    """The argument `dust` with its defaults, in smallest units. Raises Fatal when it makes no sense."""
    try:
        return {**DEFAULT_DUST, **read_amounts("dust", given)}
    except ValueError as error:
        raise Fatal(msg("error-deposit-args", error=error)) from error


def single_source_limits(
    transaction: Mapping[str, int | str] | None = None,
    in_window: Mapping[str, int | str] | None = None,
    window: float = DEFAULT_WINDOW,
) -> SingleSourceLimits:
    """The arguments `single_source_...` with their defaults. Raises Fatal when one makes no sense."""
    from dozor_market.ton.limits import read_limits

    try:
        return read_limits(transaction, in_window, window)
    except ValueError as error:
        raise Fatal(msg("error-deposit-args", error=error)) from error


async def watch(connection: Connection, wallet: str, jettons: Mapping[str, str]) -> None:
    """Register a shared wallet and its jetton wallets, unless they are. Raises Fatal for a bad address."""
    from dozor_market.ton.transactions import raw_address

    try:
        address = raw_address(wallet)
        jetton_wallets = {currency: raw_address(jetton) for currency, jetton in jettons.items()}
    except ValueError as error:
        raise Fatal(msg("error-deposit-args", error=error)) from error
    async with connection.transaction():
        await connection.execute(WATCH, address)
        for currency, jetton_wallet in jetton_wallets.items():
            await connection.execute(WATCH_JETTON, jetton_wallet, address, currency)


async def read_wallets(connection: Connection) -> list[Wallet]:
    """The wallets watched."""
    from dozor_market.ton.reader import Wallet

    return [Wallet(**row) for row in await connection.fetch(WALLETS)]


async def tell(ctx: CheckerContext) -> None:
    """Alert about deposits without an owner, and about transactions that were set aside."""
    from dozor_market.ton.crediting import tell_unmatched

    await tell_unmatched(ctx)
    await announce(ctx, NAME)
