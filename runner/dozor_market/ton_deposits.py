"""The deposits' checker: what came in to our TON wallets is credited, each transaction once.

For each wallet: page back from the newest transaction to the cursor, verify that it is one chain, then
credit oldest first, in blocks, each together with the move of the cursor. Anything that does not fit fails
the run without a credit. Needs the extra `ton`, imported at the first run and not before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dozor.errors import DozorError, Fatal
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import Backlog, announce, report_backlog, start_cursor
from dozor.toolkit.context import CheckerContext

if TYPE_CHECKING:
    from dozor_market.ton.providers import Providers
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
CURSOR: Final = "SELECT position FROM dozor.cursors WHERE name = $1"
AGE: Final = "SELECT extract(epoch FROM now() - to_timestamp($1))::float8, to_timestamp($1)"


class DepositsError(DozorError):
    """Some wallets could not be read; the message says which and why. The others were credited."""


async def check_transactions(
    ctx: CheckerContext,
    *,
    providers: Sequence[Mapping[str, Any]] = ({"kind": "toncenter"},),
    wallet: str | None = None,
    jettons: Mapping[str, str] | None = None,
    dust: Mapping[str, int] | None = None,
    testnet: bool = False,
    behind_after: float | None = 900.0,
) -> None:
    """Credit what came in to the wallets of market.ton_wallets.

    providers: mappings of kind (toncenter, tonapi, lite), url, api_key, rps and timeout, tried in this order.
    wallet: a shared wallet, registered at the first run; jettons: its jetton wallets, by currency.
    dust: by currency, smallest units below which a transfer is recorded but not credited.
    behind_after: seconds a transaction may wait before people are alerted.

    Raises DepositsError, and Fatal when the extra `ton` is not installed or an argument makes no sense.
    """
    try:
        from dozor_market.ton import providers as ton
    except ImportError as error:
        raise Fatal(msg("error-ton-extra")) from error
    try:
        options = [
            ton.ProviderOptions(**{**provider, "kind": ton.ProviderKind(provider["kind"])})
            for provider in providers
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Fatal(msg("error-deposit-providers", error=error)) from error
    limits = {**DEFAULT_DUST, **(dust or {})}
    async with ctx.db.acquire() as connection:
        if wallet is not None:
            await watch(connection, wallet, jettons or {})
        wallets = await read_wallets(connection)
    problems: list[str] = []
    counts: Counter[str] = Counter()
    async with ton.open_providers(options, testnet=testnet) as opened:
        for one in wallets:
            if ctx.stopping.is_set():
                return
            try:
                counts += await read_wallet(ctx, opened, one, limits, behind_after)
            except (ton.ProvidersFailedError, ValueError) as error:
                problems.append(f"{one.address}: {error}")
    await tell(ctx)
    if counts:
        ctx.log.info(msg("log-ton-counts", counts=dict(counts)))
    if problems:
        raise DepositsError("; ".join(problems))
    report_backlog(ctx, Backlog(0, None, None), behind_after)


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


async def read_wallet(
    ctx: CheckerContext,
    providers: Providers,
    wallet: Wallet,
    dust: Mapping[str, int],
    behind_after: float | None,
) -> Counter[str]:
    """Credit what is new in one wallet. Returns how many transactions of each kind there were.

    Raises ProvidersFailedError, and ValueError for a cursor edited into nonsense.
    """
    from dozor_market.ton import crediting
    from dozor_market.ton.reader import START, News

    name = crediting.cursor_name(wallet.address)
    async with ctx.db.acquire() as connection:
        await start_cursor(connection, name, crediting.to_json(START))
        cursor = crediting.from_json(await connection.fetchval(CURSOR, name))
    news = News(providers, wallet, cursor, beat=ctx.heartbeat)
    await news.find()
    counts: Counter[str] = Counter()
    if news.size:
        limit = behind_after if cursor.lt else None  # what was there before us is not late
        report_backlog(ctx, await measure(ctx, news.size, news.oldest_utime), limit)
    done = 0
    async for block in news.blocks():
        if ctx.stopping.is_set():
            break
        async with ctx.db.acquire() as connection:
            credited = await crediting.credit(connection, wallet, cursor, block, dust)
        if credited is None:
            ctx.log.info(msg("log-ton-other-runner", address=wallet.address))
            break
        counts += credited
        cursor = block[-1].at
        done += len(block)
        ctx.heartbeat()
        ctx.progress(done, news.size)
    return counts


async def measure(ctx: CheckerContext, size: int, oldest_utime: int | None) -> Backlog:
    """The backlog as the database's clock sees it."""
    async with ctx.db.acquire() as connection:
        age, oldest_at = await connection.fetchrow(AGE, oldest_utime)
    return Backlog(size, oldest_at, age)


async def tell(ctx: CheckerContext) -> None:
    """Alert about deposits without an owner, and about transactions that were set aside."""
    from dozor_market.ton.crediting import tell_unmatched

    await tell_unmatched(ctx)
    await announce(ctx, NAME)
