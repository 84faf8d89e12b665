"""Jetton wallets of our wallets: configured, verified through the jetton's master, corrected.

A notification proves nothing but its sender: anybody can deploy a contract that sends one. So a jetton counts
only when the notification is from the jetton wallet that the jetton's master names for our wallet (TEP-74,
`get_wallet_address`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ton_core import Address, Cell, Slice

from dozor.errors import Fatal
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit.context import CheckerContext
from dozor_market.ton.agreement.round import CONFIRMATIONS
from dozor_market.ton.incidents import IncidentKind, Sighting
from dozor_market.ton.messages.transactions import raw_address
from dozor_market.ton.providers.port import Answer, Failure, Providers
from dozor_market.ton.providers.sources import MAX_COINS

MAX_DECIMALS: Final = 12
"""Amounts are bigints: with 12 decimals 9.2 million whole units fit, with 18 only 9."""
VERIFIED_FOR: Final = 86_400.0
"""Seconds after which a jetton wallet is verified again."""

DECIMALS_SQL: Final = "SELECT code, decimals FROM market.currencies WHERE code = ANY($1)"
REGISTERED_SQL: Final = """
SELECT address, master, verified_at IS NOT NULL AS verified,
       coalesce(verified_at > now() - make_interval(secs => $3), false) AS recently
  FROM market.ton_jetton_wallets WHERE owner = $1 AND currency = $2"""
REPLACED_SQL: Final = """
DELETE FROM market.ton_jetton_wallets WHERE owner = $1 AND currency = $2 AND address <> $3
RETURNING address"""
REGISTER_SQL: Final = """
INSERT INTO market.ton_jetton_wallets AS j (address, owner, currency, master) VALUES ($1, $2, $3, $4)
ON CONFLICT (address) DO UPDATE
   SET owner = EXCLUDED.owner, currency = EXCLUDED.currency, master = EXCLUDED.master, verified_at = NULL
 WHERE (j.owner, j.currency) <> (EXCLUDED.owner, EXCLUDED.currency)
    OR j.master IS DISTINCT FROM EXCLUDED.master"""
VERIFIED_SQL: Final = "UPDATE market.ton_jetton_wallets SET verified_at = now() WHERE address = $1"
_asked: set[str] = set()
"""Jetton wallets without a configured master that this process has asked about."""


@dataclass(frozen=True, slots=True)
class JettonOption:
    """One entry of `jettons`, addresses in raw form. `wallet` None: the master names it."""

    currency: str
    wallet: str | None
    master: str | None


def read_options(jettons: Mapping[str, Any]) -> list[JettonOption]:
    """`jettons` by currency: the jetton wallet's address, or {wallet, master} of which one may be missing.

    Raises ValueError.
    """
    options: list[JettonOption] = []
    for currency, given in jettons.items():
        entry = {"wallet": given} if isinstance(given, str) else given
        if not isinstance(entry, Mapping) or not entry or not set(entry) <= {"wallet", "master"}:
            raise ValueError(msg("error-jetton-entry", currency=currency, value=repr(given)))
        addresses = {key: raw_address(address) for key, address in entry.items()}
        options.append(JettonOption(currency, addresses.get("wallet"), addresses.get("master")))
    return options


async def check_currencies(connection: Connection, options: Sequence[JettonOption]) -> None:
    """Raises Fatal for a currency that is not in market.currencies, or whose amounts do not fit a bigint."""
    codes = [option.currency for option in options]
    decimals = {row["code"]: row["decimals"] for row in await connection.fetch(DECIMALS_SQL, codes)}
    for code in codes:
        if code not in decimals or code == "TON":
            raise Fatal(msg("error-jetton-currency", currency=code))
        if decimals[code] > MAX_DECIMALS:
            raise Fatal(
                msg("error-jetton-decimals", currency=code, decimals=decimals[code], most=MAX_DECIMALS)
            )


async def register(connection: Connection, owner: str, option: JettonOption, wallet: str) -> str | None:
    """Make `wallet` the jetton wallet of `owner` in this currency, whatever was registered before.

    Returns the address that it replaces, if any.
    """
    replaced: str | None = await connection.fetchval(REPLACED_SQL, owner, option.currency, wallet)
    await connection.execute(REGISTER_SQL, wallet, owner, option.currency, option.master)
    return replaced


class Verification:
    """Verifies the jetton wallets of one of our wallets, `owner`, as the arguments have them."""

    def __init__(self, ctx: CheckerContext, providers: Providers, owner: str) -> None:
        self._ctx = ctx
        self._providers = providers
        self._owner = owner

    async def verify(self, options: Sequence[JettonOption]) -> list[Sighting]:
        """What is wrong with them. While anything is, nothing of `owner` may be read: notifications from the
        right jetton wallet would be taken for somebody else's."""
        found = [await self._verify(option) for option in options]
        return [sighting for sighting in found if sighting is not None]

    async def _verify(self, option: JettonOption) -> Sighting | None:
        async with self._ctx.db.acquire() as connection:
            row = await connection.fetchrow(REGISTERED_SQL, self._owner, option.currency, VERIFIED_FOR)
        if row is not None and row["recently"] and option.master == row["master"]:
            return None
        registered = option.wallet or (row and row["address"])
        master = option.master
        if master is None:
            if registered is None or registered in _asked:
                return None
            _asked.add(registered)
            return await self._verify_itself(option, registered)
        named = await self._named(master)
        if named is None:
            if row is not None and row["verified"] and row["master"] == master:
                return None  # verified before; the master cannot be asked now
            return self._sighting(option, msg("log-ton-jetton-unanswered", master=master))
        if option.wallet is not None and named != option.wallet:
            return self._sighting(
                option, msg("log-ton-jetton-other", master=master, named=named, wallet=option.wallet)
            )
        await self._keep(option, named)
        return None

    async def _verify_itself(self, option: JettonOption, wallet: str) -> Sighting | None:
        """Without a configured master: ask the jetton wallet for its owner and master, then that master."""
        data = agreed(
            await self._providers.run_each(wallet, "get_wallet_data", [], read_wallet_data),
            len(self._providers.names),
        )
        if data is None:
            self._ctx.log.warning(msg("log-ton-jetton-unverified", currency=option.currency, wallet=wallet))
            return None
        if data.owner != self._owner:
            return self._sighting(option, msg("log-ton-jetton-owner", wallet=wallet, owner=data.owner))
        named = await self._named(data.master)
        if named is None:
            self._ctx.log.warning(msg("log-ton-jetton-unverified", currency=option.currency, wallet=wallet))
            return None
        if named != wallet:
            return self._sighting(
                option, msg("log-ton-jetton-other", master=data.master, named=named, wallet=wallet)
            )
        async with self._ctx.db.acquire() as connection:
            await connection.execute(VERIFIED_SQL, wallet)
        return None

    async def _named(self, master: str) -> str | None:
        """The jetton wallet that the master names, if enough providers agree on it."""
        answers = await self._providers.run_each(
            master, "get_wallet_address", [Address(self._owner)], read_address
        )
        named: str | None = agreed(answers, len(self._providers.names))
        return named

    async def _keep(self, option: JettonOption, wallet: str) -> None:
        async with self._ctx.db.acquire() as connection, connection.transaction():
            replaced = await register(connection, self._owner, option, wallet)
            await connection.execute(VERIFIED_SQL, wallet)
        if replaced is not None:
            warn_replaced(self._ctx, self._owner, option.currency, replaced, wallet)

    def _sighting(self, option: JettonOption, evidence: str) -> Sighting:
        return Sighting(IncidentKind.JETTON_WALLET, f"{self._owner} {option.currency}", evidence)


def warn_replaced(ctx: CheckerContext, owner: str, currency: str, before: str, after: str) -> None:
    """Notifications from the right address came while another one was registered: a rescan finds them."""
    ctx.alert(
        msg("log-ton-jetton-replaced", owner=owner, currency=currency, before=before, after=after), "warning"
    )


@dataclass(frozen=True, slots=True)
class WalletData:
    """TEP-74, `get_wallet_data`. `balance` in the jetton's smallest units; addresses in raw form."""

    balance: int
    owner: str
    master: str


def read_wallet_data(stack: Sequence[Any]) -> WalletData:
    """Raises ValueError or what the stack leads to."""
    balance = int(stack[0])
    if not 0 <= balance <= MAX_COINS:
        raise ValueError(msg("error-provider-nonsense", error="balance"))
    return WalletData(balance, read_address(stack[1:2]), read_address(stack[2:3]))


def read_address(stack: Sequence[Any]) -> str:
    """The first entry as a raw address. Raises ValueError."""
    entry = stack[0]
    if isinstance(entry, Cell):
        entry = entry.begin_parse()
    if isinstance(entry, Slice):
        entry = entry.load_address()
    if not isinstance(entry, Address):
        raise ValueError(msg("error-provider-nonsense", error=type(entry).__name__))
    text: str = entry.to_str(is_user_friendly=False)
    return text


def agreed(answers: Sequence[Answer[Any] | Failure], configured: int) -> Any:
    """What CONFIRMATIONS providers returned, or the only one that is configured; None: nothing."""
    counts = Counter(answer.value for answer in answers if isinstance(answer, Answer))
    needed = min(CONFIRMATIONS, configured)
    return next((value for value, count in counts.most_common(1) if count >= needed), None)
