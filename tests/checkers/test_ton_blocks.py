"""Many wallets read by blocks: each deposit once, whatever one provider leaves out of a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from ton_core import Address

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext
from tests.checkers.town import CENT, fork
from tests.effort import cases

WALLETS = cases(16, 40)


class Fleet:
    """WALLETS addresses of one user, and two providers that know them."""

    def __init__(self, pool: Pool, chains: list[Chain], toncenters: list[Toncenter], urls: list[str]) -> None:
        self.pool = pool
        self.chains = chains
        self.toncenters = toncenters
        self.urls = urls
        self.context = StageContext(pool)

    async def check(self, **more: Any) -> None:
        await check_transactions(
            self.context,
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000} for url in self.urls],
            **{"behind_after": None, "blocks_from": 10, **more},
        )

    async def credited(self) -> int:
        total: int = await self.pool.fetchval(
            "SELECT coalesce(sum(amount), 0)::bigint FROM market.deposits WHERE state = 'credited'"
        )
        return total

    def asked(self) -> int:
        return sum(one.requests for one in self.toncenters)


@asynccontextmanager
async def open_fleet(pool: Pool, chains: list[Chain]) -> AsyncIterator[Fleet]:
    """Wallets of one user, each with a deposit that was read once."""
    async with AsyncExitStack() as stack:
        toncenters = [Toncenter(*chains) for _ in range(2)]
        urls = [await stack.enter_async_context(serve(one)) for one in toncenters]
        async with pool.acquire() as connection:
            user = await create_user(connection, "payer")
            await connection.executemany(
                "INSERT INTO market.ton_wallets (address, user_id) VALUES ($1, $2)",
                [(raw(chain.address), user) for chain in chains],
            )
        fleet = Fleet(pool, chains, toncenters, urls)
        for chain in chains:
            chain.transfer(CENT)
        await fleet.check()
        yield fleet


@pytest.fixture
async def fleet(pool: Pool) -> AsyncIterator[Fleet]:
    chains = [Chain(address=Address((0, bytes([number + 1]) * 32))) for number in range(WALLETS)]
    async with open_fleet(pool, chains) as fleet:
        assert await fleet.credited() == WALLETS * CENT
        yield fleet
        async with pool.acquire() as connection:
            assert await audit(connection) == []


async def test_what_comes_in_costs_no_request_a_wallet_and_is_credited_once(fleet: Fleet) -> None:
    before = fleet.asked()
    for round_number in range(1, 4):
        for chain in fleet.chains:
            chain.transfer(CENT)
            chain.transfer(2 * CENT)
        for _ in range(2):
            await fleet.check()
        assert await fleet.credited() == WALLETS * CENT * (1 + 3 * round_number)
    assert fleet.asked() == before  # not one getTransactions
    assert fleet.context.alerts == []


async def test_a_deposit_that_one_provider_leaves_out_of_its_block_is_credited_all_the_same(
    fleet: Fleet,
) -> None:
    fleet.chains[3].transfer(CENT)
    for one in fleet.toncenters:
        one.seal()
    fleet.toncenters[0].blocks[-1] = []
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 1) * CENT
    fleet.chains[4].transfer(CENT)
    for one in fleet.toncenters:
        one.seal()
        one.blocks[-1] = []  # both: found when it is the wallet's turn
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 1) * CENT
    await fleet.check(reread_after=0.0)
    assert await fleet.credited() == (WALLETS + 2) * CENT


async def test_what_one_provider_invents_in_a_block_is_not_credited(fleet: Fleet) -> None:
    liar = fleet.toncenters[0]
    lie = fork(fleet.chains[5])
    lie.transfer(9_000_000 * 10**9)
    liar.chains = {**liar.chains, raw(lie.address): lie}
    for _ in range(2):
        await fleet.check()
    fleet.chains[6].transfer(CENT)
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 1) * CENT
    assert (
        await fleet.pool.fetchval("SELECT count(*) FROM market.ton_pending WHERE state = 'unconfirmed'") == 1
    )


async def test_two_runners_at_once_and_a_gap_of_many_blocks_lose_nothing(fleet: Fleet) -> None:
    for _ in range(20):  # more blocks than are worth reading
        for chain in fleet.chains[:5]:
            chain.transfer(CENT)
        for one in fleet.toncenters:
            one.seal()
    await asyncio.gather(fleet.check(), fleet.check())
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 100) * CENT


async def test_without_a_block_api_every_wallet_is_read_by_itself(fleet: Fleet) -> None:
    for one in fleet.toncenters:
        one.measured = False
    for chain in fleet.chains:
        chain.transfer(CENT)
    await fleet.check()
    assert await fleet.credited() == 2 * WALLETS * CENT


async def test_a_single_provider_is_trusted_up_to_its_limit_in_blocks_too(fleet: Fleet) -> None:
    fleet.urls = fleet.urls[:1]
    fleet.chains[0].transfer(5000 * 10**9)
    fleet.chains[1].transfer(CENT)
    await fleet.check()
    assert await fleet.credited() == (WALLETS + 1) * CENT
    assert (
        await fleet.pool.fetchval("SELECT count(*) FROM market.ton_pending WHERE state = 'over_limit'") == 1
    )
