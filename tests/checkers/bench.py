"""A wallet, a stand-in of its provider, and the deposits' checker on them."""

from __future__ import annotations

from typing import Any

from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain
from dozor_market.demo.toncenter import Toncenter
from dozor_market.ledger import AccountKind, audit, create_user, read_balance
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext, purse

CENT = 10_000_000
"""A hundredth of a TON."""


class Bench:
    """A wallet, its provider, and the checker on them."""

    def __init__(self, pool: Pool, toncenter: Toncenter, chain: Chain, url: str) -> None:
        self.pool = pool
        self.toncenter = toncenter
        self.chain = chain
        self.url = url
        self.context = StageContext(pool)

    async def check(self, *urls: str, **more: Any) -> None:
        """One run of the checker; `urls` of providers, by default the stand-in's."""
        await check_transactions(
            self.context,
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000} for url in urls or (self.url,)],
            wallet=OUR_WALLET.to_str(),
            jettons={"USDT": OUR_JETTON_WALLET.to_str()},
            **{"behind_after": None, **more},
        )

    async def payer(self, code: str = "INV-1") -> int:
        """A user with an invoice."""
        async with self.pool.acquire() as connection:
            user = await create_user(connection, "payer")
            await issue_invoice(connection, code, user)
        return user

    async def available(self, user: int, currency: str = "TON") -> int:
        async with self.pool.acquire() as connection:
            return (await purse(connection, user, currency))["available"]

    async def states(self) -> list[str]:
        return [
            row["state"] for row in await self.pool.fetch("SELECT state FROM market.deposits ORDER BY lt")
        ]

    async def cursor_lt(self) -> int:
        position = await self.pool.fetchval("SELECT position FROM dozor.cursors")
        return int(position["lt"])

    async def operating(self) -> int:
        async with self.pool.acquire() as connection:
            return await read_balance(connection, None, AccountKind.OPERATING, "TON")

    async def faults(self) -> list[str]:
        async with self.pool.acquire() as connection:
            return await audit(connection)
