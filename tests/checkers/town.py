"""A wallet that several stand-ins of Toncenter serve, honest and lying ones, and the checker on them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext, purse

CENT = 10_000_000
MINTED = 9_000_000 * 10**9
MINTED_SHOWN = "9000000 TON"
"""MINTED as alerts show it."""
DOWN = "http://127.0.0.1:9/api/v2"


def fork(chain: Chain, keep: int | None = None) -> Chain:
    """Another chain with the first `keep` transactions of `chain`, all without it."""
    entries = chain.entries[:keep]
    lt = entries[-1].lt if entries else chain.lt - len(chain.entries) * 1_000_000
    jettons = dict(chain.jetton_balances)
    return dataclasses.replace(chain, entries=list(entries), lt=lt, jetton_balances=jettons)


class Town:
    """A wallet that several stand-ins of Toncenter serve, and the checker on them."""

    def __init__(self, pool: Pool, stack: AsyncExitStack) -> None:
        self.pool = pool
        self._stack = stack
        self.chain = Chain()
        self.context = StageContext(pool)
        self.user = 0

    async def provider(self, chain: Chain | None = None) -> tuple[Toncenter, str]:
        """One more, honest unless it is given a chain of its own."""
        toncenter = Toncenter(self.chain if chain is None else chain)
        return toncenter, await self._stack.enter_async_context(serve(toncenter))

    async def check(self, *urls: str, **more: Any) -> None:
        await check_transactions(
            self.context,
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000, "timeout": 2} for url in urls],
            wallet=OUR_WALLET.to_str(),
            **{"jettons": {"USDT": OUR_JETTON_WALLET.to_str()}, "behind_after": None, **more},
        )

    async def balance(self, currency: str = "TON") -> int:
        async with self.pool.acquire() as connection:
            return (await purse(connection, self.user, currency))["available"]

    async def cursor(self) -> int:
        return int((await self.pool.fetchval("SELECT position FROM dozor.cursors"))["lt"])

    async def states(self) -> list[str]:
        rows = await self.pool.fetch("SELECT state FROM market.ton_pending ORDER BY lt, id")
        return [row["state"] for row in rows]

    async def contradictions(self) -> list[Any]:
        return list(await self.pool.fetch("SELECT * FROM market.ton_contradictions ORDER BY id"))

    def told(self, text: str) -> list[str]:
        return [said for said, _ in self.context.alerts if text in said]


@asynccontextmanager
async def open_town(pool: Pool, kind: type[Town] = Town, *, audited: bool = True) -> AsyncIterator[Town]:
    """An empty chain, a user with the invoice INV-1; `audited`: the ledger at the end."""
    async with AsyncExitStack() as stack:
        town = kind(pool, stack)
        async with pool.acquire() as connection:
            town.user = await create_user(connection, "payer")
            await issue_invoice(connection, "INV-1", town.user)
        yield town
        if audited:
            async with pool.acquire() as connection:
                assert await audit(connection) == []
