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
from dozor_market.arguments.amounts import amount_problems, read_amounts
from dozor_market.arguments.counts import count_problems, seconds_problems
from dozor_market.arguments.ton import check_provider_args, check_wallet_args, first_problem

if TYPE_CHECKING:
    from dozor_market.ton.agreement.limits import SingleSourceLimits
    from dozor_market.ton.providers.port import ProviderOptions, Providers
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
CURRENCIES_SQL: Final = "SELECT code FROM market.currencies ORDER BY code"
WATCH: Final = "INSERT INTO market.ton_wallets (address) VALUES ($1) ON CONFLICT (address) DO NOTHING"
DEFAULT_UNCONFIRMED_AFTER: Final = 300.0
"""Seconds."""
DEFAULT_WINDOW: Final = 86_400.0
"""Seconds over which single_source_window_limit applies."""
DEFAULT_FROZEN_AFTER: Final = 120.0
"""Seconds that a provider's newest masterchain block may be behind that of another."""
DEFAULT_BLOCKS_FROM: Final = 200
"""Wallets from which on they are read by blocks."""
DEFAULT_REREAD_AFTER: Final = 3600.0
"""Seconds after which a wallet that is read by blocks is read by itself as well."""
REREAD_WITHIN: Final = 20.0
"""Seconds of a run in which wallets are read by themselves because it is their turn."""
_warned_about: set[str] = set()
"""Single providers that this process has logged a warning about."""


class DepositsError(DozorError):
    """Some wallets could not be read; the message says which and why. The others were credited."""


def check_deposit_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with the checker's arguments."""
    yield from amount_problems(args, "dust")
    yield from amount_problems(args, "single_source_limit", "single_source_window_limit", most=None)
    yield from seconds_problems(args, "single_source_window")
    yield from seconds_problems(args, "unconfirmed_after", "frozen_after", "reread_after", zero=True)
    yield from seconds_problems(args, "behind_after", optional=True, zero=True)
    yield from count_problems(args, "blocks_from")
    yield from check_provider_args(args)
    yield from check_wallet_args(args)


@needs_extra(Extra.TON)
@checks_args(check_deposit_args)
async def check_transactions(
    ctx: CheckerContext,
    *,
    providers: Sequence[Mapping[str, Any]] = ({"kind": "toncenter"},),
    wallet: str | None = None,
    jettons: Mapping[str, Any] | None = None,
    dust: Mapping[str, int | str] | None = None,
    testnet: bool = False,
    behind_after: float | None = 900.0,
    single_source_limit: Mapping[str, int | str] | None = None,
    single_source_window_limit: Mapping[str, int | str] | None = None,
    single_source_window: float = DEFAULT_WINDOW,
    unconfirmed_after: float = DEFAULT_UNCONFIRMED_AFTER,
    frozen_after: float = DEFAULT_FROZEN_AFTER,
    blocks_from: int = DEFAULT_BLOCKS_FROM,
    reread_after: float = DEFAULT_REREAD_AFTER,
) -> None:
    """Credit what came in to the wallets of market.ton_wallets.

    providers: mappings of kind (toncenter, tonapi, lite), url, api_key, rps and timeout. Two of different
    hosts must return a transaction before it is credited; a single one is trusted up to a limit.
    single_source_limit: by currency, the amount of one transfer that is credited on the word of a single
    provider; single_source_window_limit: of all such transfers within single_source_window seconds. Above,
    the transfer waits for a person.
    unconfirmed_after: seconds that a transfer may wait for a second provider before people are alerted.
    wallet: a shared wallet, registered at the first run; jettons: its jetton wallets by currency, each an
    address or {wallet, master}, of which one may be missing.
    Amounts are integers of the smallest unit, or text such as "1.5 TON" (amounts.py).
    dust: by currency, the amount below which a transfer is recorded but not credited.
    behind_after: seconds a transaction may wait before people are alerted.
    frozen_after: seconds that a provider may be behind the others before it is left out.
    blocks_from: number of wallets from which on they are read by blocks; reread_after: seconds after which
    each of them is read by itself as well.

    Raises DepositsError when no wallet could be read, and Fatal when the extra `ton` is not installed or an
    argument makes no sense.
    """
    options = provider_options(providers)
    from dozor_market.ton.agreement.pending import waiting
    from dozor_market.ton.alerts import alert_all
    from dozor_market.ton.providers import port as ton
    from dozor_market.ton.wallets import rounds
    from dozor_market.ton.wallets.reading import Reading

    rules = rounds.Rules(
        dust_limits(dust),
        single_source_limits(single_source_limit, single_source_window_limit, single_source_window),
        behind_after,
    )
    given = {"dust": dust, "single_source_limit": single_source_limit}
    await require_currencies(ctx, {**given, "single_source_window_limit": single_source_window_limit})
    if wallet is not None:
        await register(ctx, wallet, jettons or {})
    async with ton.open_providers(options, testnet=testnet) as opened:
        warn_about_a_single_one(ctx, opened)
        reading = Reading(ctx, opened, rules, frozen_after, REREAD_WITHIN)
        if wallet is not None:
            await reading.verify_jettons(wallet, jettons or {})
        async with ctx.db.acquire() as connection:
            wallets = await read_wallets(connection)
        result = await reading.read(wallets, blocks_from, reread_after)
        if ctx.stopping.is_set():
            return
        counts = result.counts
        counts["confirmed later"] += await rounds.confirm_held(ctx, opened)
        log_failures(ctx, opened, result.said())
    await reading.alert(result)
    await alert_all(ctx, unconfirmed_after)
    await tell(ctx)
    if counts := +counts:
        ctx.log.info(msg("log-ton-counts", counts=dict(counts)))
    if result.failures and not result.read:
        raise DepositsError(result.said())
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
        from dozor_market.ton.providers import port as ton
    except ImportError as error:
        raise Fatal(msg("error-ton-extra", command=install_command(Extra.TON))) from error
    try:
        if providers:
            first_problem(check_provider_args({"providers": providers}))
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
    from dozor_market.ton.agreement.limits import read_limits

    try:
        return read_limits(transaction, in_window, window)
    except ValueError as error:
        raise Fatal(msg("error-deposit-args", error=error)) from error


async def require_currencies(ctx: CheckerContext, given: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Raises Fatal unless the currencies of the arguments `given` are in market.currencies: an amount of a
    mistyped one would have no effect, in silence."""
    if not any(given.values()):
        return
    async with ctx.db.acquire() as connection:
        known = [row["code"] for row in await connection.fetch(CURRENCIES_SQL)]
    for name, amounts in given.items():
        for currency in amounts or {}:
            if currency not in known:
                text = msg("error-currency-unknown", name=name, currency=currency, known=", ".join(known))
                raise Fatal(text)


async def register(ctx: CheckerContext, wallet: str, jettons: Mapping[str, Any]) -> None:
    """As watch, with an alert where an address was corrected."""
    from dozor_market.ton.wallets.jettons import warn_replaced

    async with ctx.db.acquire() as connection:
        replaced = await watch(connection, wallet, jettons)
    for owner, currency, before, after in replaced:
        warn_replaced(ctx, owner, currency, before, after)


async def watch(
    connection: Connection, wallet: str, jettons: Mapping[str, Any]
) -> list[tuple[str, str, str, str]]:
    """Register a shared wallet and its jetton wallets, as the arguments have them now.

    A jetton wallet without an address is registered once the master has named it. Returns owner, currency,
    old and new address of each jetton wallet that was another one before. Raises Fatal for a bad address or
    currency.
    """
    from dozor_market.ton.messages.transactions import raw_address
    from dozor_market.ton.wallets import jettons as ton

    try:
        address = raw_address(wallet)
        options = ton.read_options(jettons)
    except ValueError as error:
        raise Fatal(msg("error-deposit-args", error=error)) from error
    replaced: list[tuple[str, str, str, str]] = []
    async with connection.transaction():
        await ton.check_currencies(connection, options)
        await connection.execute(WATCH, address)
        for option in options:
            if option.wallet is None:
                continue
            before = await ton.register(connection, address, option, option.wallet)
            if before is not None:
                replaced.append((address, option.currency, before, option.wallet))
    return replaced


async def read_wallets(connection: Connection) -> list[Wallet]:
    """The wallets watched."""
    from dozor_market.ton.reader import Wallet

    return [Wallet(**row) for row in await connection.fetch(WALLETS)]


async def tell(ctx: CheckerContext) -> None:
    """Alert about deposits without an owner, and about transactions that were set aside."""
    from dozor_market.ton.unmatched import alert_unmatched

    await alert_unmatched(ctx)
    await announce(ctx, NAME)
