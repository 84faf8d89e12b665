"""The marketplace of the demo: people, auctions, money, and the fault that befalls them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from dozor.storage.postgres.pool import Pool
from dozor_market.bidding import create_auction, place_bid
from dozor_market.codes import issue_code
from dozor_market.demo.chain import Chain
from dozor_market.demo.toncenter import Toncenter, half
from dozor_market.ledger import AccountKind, audit, create_user, transfer
from dozor_market.selling import pay_presale, pledge
from dozor_market.ton.messages.arrival import AccountState

TON: Final = 10**9
"""Nanotons in one TON."""
CURRENCY: Final = "TON"
FEE_BPS: Final = 500
"""The marketplace's share of a price, hundredths of a percent."""

MONEY_SQL: Final = """
SELECT user_id, kind, balance FROM market.accounts WHERE currency = $1"""
RESULT_SQL: Final = """
SELECT a.state, b.bidder_id, b.amount, market.fee(b.amount, a.fee_bps) AS fee
FROM market.auctions a LEFT JOIN market.bids b ON b.id = a.winning_bid_id WHERE a.id = $1"""
OPEN_SQL: Final = "SELECT count(*) FROM market.auctions WHERE state = 'open'"
PRESALE_SQL: Final = "SELECT state = 'overdue' AS refunded, penalty_taken FROM market.presales WHERE id = $1"
CREDITED_SQL: Final = "SELECT count(*) FROM market.deposits WHERE state = 'credited'"
MOVEMENTS_SQL: Final = "SELECT count(*) FROM market.movements"
BREAK_SQL: Final = "ALTER TABLE market.auctions RENAME COLUMN ends_at TO finish_at"
MEND_SQL: Final = "ALTER TABLE market.auctions RENAME COLUMN finish_at TO ends_at"


@dataclass(frozen=True, slots=True)
class Lot:
    """What is put up, and who bids how many whole TON for it, in order. `title` is for people."""

    title: str
    bids: tuple[tuple[str, int], ...]
    reserve: int | None = None


@dataclass(frozen=True, slots=True)
class Presale:
    """What `buyer` has paid for in advance; whole TON."""

    title: str
    buyer: str
    price: int
    penalty: int


@dataclass(frozen=True, slots=True)
class Result:
    """How an auction ended; amounts in nanotons. `winner` None: unsold."""

    title: str
    winner: str | None
    price: int = 0
    fee: int = 0


@dataclass(frozen=True, slots=True)
class Purse:
    """What somebody has, in nanotons."""

    free: int
    held: int = 0
    """For bids and presales."""
    pledged: int = 0

    @property
    def set_aside(self) -> int:
        return self.held + self.pledged

    @property
    def total(self) -> int:
        return self.free + self.set_aside


@dataclass(frozen=True, slots=True)
class Money:
    """All of it at one moment, in nanotons. What the users and the marketplace have is what came in."""

    purses: dict[str, Purse]
    house: int
    came_in: int

    @property
    def total(self) -> int:
        return self.house + sum(purse.total for purse in self.purses.values())


class Market:
    """A seller, buyers with money, auctions that really end; `toncenter` serves the wallet they pay into."""

    def __init__(self, pool: Pool, users: dict[str, int], codes: dict[str, str], seller: str) -> None:
        self._wallet = Chain(state=AccountState.UNINIT)  # receives without being deployed
        self.toncenter = Toncenter(self._wallet)
        self._pool = pool
        self._users = users
        self._codes = codes
        self._names = {number: name for name, number in users.items()}
        self._seller = users[seller]
        self._titles: dict[int, str] = {}
        self._broken = False

    @classmethod
    async def open(
        cls, pool: Pool, seller: str, buyers: Sequence[str], *, deposit: int, collateral: int
    ) -> Market:
        """A marketplace on an empty schema. Each buyer has `deposit` whole TON, the seller a collateral."""
        users: dict[str, int] = {}
        codes: dict[str, str] = {}
        async with pool.acquire() as connection, connection.transaction():
            for name in (seller, *buyers):
                users[name] = await create_user(connection, name)
            for name, amount in ((seller, collateral), *((buyer, deposit) for buyer in buyers)):
                await transfer(
                    connection,
                    f"demo:opening:{users[name]}",
                    CURRENCY,
                    amount * TON,
                    source=(None, AccountKind.EXTERNAL),
                    target=(users[name], AccountKind.AVAILABLE),
                )
                codes[name] = await issue_code(connection, users[name])
            await pledge(connection, "demo:collateral", users[seller], CURRENCY, collateral * TON)
        return cls(pool, users, codes, seller)

    async def sell(self, lots: Sequence[Lot], lasts: float) -> list[int]:
        """Put `lots` up for `lasts` seconds and place their bids. Returns the auctions' ids."""
        auctions: list[int] = []
        async with self._pool.acquire() as connection, connection.transaction():
            for lot in lots:
                auction = await create_auction(
                    connection,
                    self._seller,
                    CURRENCY,
                    datetime.now(UTC) + timedelta(seconds=lasts),
                    title=lot.title,
                    start_price=TON,
                    reserve_price=None if lot.reserve is None else lot.reserve * TON,
                    fee_bps=FEE_BPS,
                )
                for bidder, amount in lot.bids:
                    await place_bid(connection, auction, self._users[bidder], amount * TON)
                self._titles[auction] = lot.title
                auctions.append(auction)
        return auctions

    async def presell(self, presale: Presale, lasts: float) -> int:
        """Something to be delivered within `lasts` seconds, and never will be. Returns the presale's id."""
        async with self._pool.acquire() as connection:
            return await pay_presale(
                connection,
                self._seller,
                self._users[presale.buyer],
                CURRENCY,
                presale.price * TON,
                datetime.now(UTC) + timedelta(seconds=lasts),
                penalty=presale.penalty * TON,
                title=presale.title,
            )

    def pay_in(self, name: str, amount: int) -> None:
        """A transfer of `amount` whole TON on the chain, the user's code in its comment."""
        self._wallet.utime = int(time.time())
        self._wallet.transfer(amount * TON, self._codes[name])

    def cut_an_answer(self) -> None:
        """The next answer of the TON provider ends in the middle."""
        self.toncenter.faults.append(half)

    async def deposits_credited(self) -> int:
        """Transfers from the chain that are in the ledger."""
        count: int = await self._pool.fetchval(CREDITED_SQL)
        return count

    async def penalty(self, presale: int) -> int | None:
        """What the seller was penalised by when the presale was refunded, in nanotons; None: not yet."""
        row = await self._pool.fetchrow(PRESALE_SQL, presale)
        assert row is not None
        return row["penalty_taken"] if row["refunded"] else None

    async def open_auctions(self) -> int:
        """Auctions that nobody has settled yet."""
        count: int = await self._pool.fetchval(OPEN_SQL)
        return count

    async def results(self, auctions: Sequence[int]) -> list[Result]:
        """How these closed auctions ended."""
        ended: list[Result] = []
        for auction in auctions:
            row = await self._pool.fetchrow(RESULT_SQL, auction)
            assert row is not None
            if row["bidder_id"] is None:
                ended.append(Result(self._titles[auction], None))
            else:
                winner = self._names[row["bidder_id"]]
                ended.append(Result(self._titles[auction], winner, row["amount"], row["fee"]))
        return ended

    async def money(self) -> Money:
        """Who has how much now."""
        balances = {
            (row["user_id"], AccountKind(row["kind"])): row["balance"]
            for row in await self._pool.fetch(MONEY_SQL, CURRENCY)
        }
        purses = {
            name: Purse(
                free=balances[user, AccountKind.AVAILABLE],
                held=balances[user, AccountKind.HELD],
                pledged=balances[user, AccountKind.COLLATERAL],
            )
            for name, user in self._users.items()
        }
        return Money(purses, balances[None, AccountKind.HOUSE], -balances[None, AccountKind.EXTERNAL])

    async def faults_of_the_ledger(self) -> list[str]:
        """What the ledger's own audit finds wrong; empty when all is well."""
        async with self._pool.acquire() as connection:
            return await audit(connection)

    async def movements(self) -> int:
        """Movements of money so far."""
        count: int = await self._pool.fetchval(MOVEMENTS_SQL)
        return count

    async def break_down(self) -> None:
        """A migration that the checker was not adapted to."""
        await self._pool.execute(BREAK_SQL)
        self._broken = True

    async def mend(self) -> None:
        """The migration is undone."""
        if self._broken:
            await self._pool.execute(MEND_SQL)
            self._broken = False


def in_ton(nanotons: int) -> str:
    """Whole nanotons as TON with two decimals at least: "114.00", "0.000000001"."""
    sign = "-" if nanotons < 0 else ""
    whole, rest = divmod(abs(nanotons), TON)
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0'):0<2}"
