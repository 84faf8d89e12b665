"""Transfers between our own wallets: sweeps, TON for gas, transfers to oneself. Nobody is credited twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from ton_core import Address

from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import AttributionError, attribute
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain, notification_body, raw
from dozor_market.ledger import AccountKind, create_user, read_balance
from tests.checkers.stage import purse
from tests.checkers.test_reconcile import Place
from tests.checkers.town import CENT, open_town

OWN = Address((0, b"\x31" * 32))
"""A user's own deposit address."""
OWN_JETTON_WALLET = Address((0, b"\x32" * 32))


class Marketplace(Place):
    """A shared wallet, and a deposit address of the user `owner`, both with a jetton wallet."""

    own: Chain
    owner: int

    async def round(self, *, providers: int = 2, **more: Any) -> None:
        await self.check(*self.urls[:providers], **more)

    async def states(self) -> list[str]:
        rows = await self.pool.fetch("SELECT state FROM market.deposits ORDER BY id")
        return [row["state"] for row in rows]

    async def owned(self, currency: str = "TON") -> int:
        async with self.pool.acquire() as connection:
            return (await purse(connection, self.owner, currency))["available"]

    async def came_in(self, currency: str = "TON") -> int:
        """From outside, by the books."""
        async with self.pool.acquire() as connection:
            return -await read_balance(connection, None, AccountKind.EXTERNAL, currency)

    def sweep(self, amount: int, comment: str | None = None) -> None:
        """From the deposit address to the shared wallet."""
        self.own.balance -= amount
        self.chain.transfer(amount, comment, sender=OWN)


@pytest.fixture
async def market(pool: Pool) -> AsyncIterator[Marketplace]:
    async with open_town(pool, Marketplace) as market:
        assert isinstance(market, Marketplace)
        market.own = Chain(address=OWN)
        market.toncenters, market.urls = [], []
        for _ in range(2):
            toncenter, url = await market.provider()
            toncenter.chains[raw(OWN)] = market.own
            market.toncenters.append(toncenter)
            market.urls.append(url)
        async with pool.acquire() as connection:
            market.owner = await create_user(connection, "owner")
            await connection.execute(
                "INSERT INTO market.ton_wallets (address, user_id) VALUES ($1, $2)", raw(OWN), market.owner
            )
            await connection.execute(
                "INSERT INTO market.ton_jetton_wallets (address, owner, currency) VALUES ($1, $2, 'USDT')",
                raw(OWN_JETTON_WALLET),
                raw(OWN),
            )
        yield market


async def test_a_sweep_is_recorded_and_credited_to_nobody_and_the_books_agree(market: Marketplace) -> None:
    market.own.transfer(5 * CENT)
    await market.round()
    market.sweep(4 * CENT)
    market.sweep(CENT, "INV-1")  # whatever its comment
    await market.round()
    assert await market.states() == ["credited", "internal", "internal"]
    assert (await market.owned(), await market.balance(), await market.came_in()) == (5 * CENT, 0, 5 * CENT)
    assert market.told("without an owner") == []
    (text,) = market.told("between our own wallets")
    assert "all wallets: 2" in text
    for _ in range(2):
        assert await market.reconcile() == []
    market.chain.balance += 7  # what nobody knows of is still found
    assert any("0.000000007 more" in line for line in await market.reconcile())


async def test_ton_for_gas_is_no_deposit_of_the_user_whose_address_gets_it(market: Marketplace) -> None:
    market.chain.transfer(9 * CENT, "INV-1")
    await market.round()
    market.chain.balance -= CENT
    market.own.transfer(CENT, sender=OUR_WALLET)
    market.own.transfer(1, sender=OUR_WALLET)  # below the dust limit as well
    market.chain.balance -= 1
    await market.round()
    assert await market.states() == ["credited", "internal", "internal"]
    assert (await market.owned(), await market.came_in()) == (0, 9 * CENT)
    for _ in range(2):
        assert await market.reconcile() == []


async def test_a_transfer_to_oneself_is_not_credited_again(market: Marketplace) -> None:
    market.own.transfer(5 * CENT)
    await market.round()
    for chain in (market.own, market.chain):
        chain.transfer(CENT, "INV-1", sender=chain.address)
        chain.balance -= CENT
    await market.round()
    assert await market.states() == ["credited", "internal", "internal"]
    assert (await market.owned(), await market.came_in()) == (5 * CENT, 5 * CENT)


async def test_swept_jettons_are_not_credited_again(market: Marketplace) -> None:
    market.own.jettons(700, jetton_wallet=OWN_JETTON_WALLET)
    await market.round()
    assert await market.owned("USDT") == 700
    market.own.jetton_balances[raw(OWN_JETTON_WALLET)] -= 700
    market.chain.jetton_balances[raw(OUR_JETTON_WALLET)] = 700
    market.chain.transfer(1, sender=OUR_JETTON_WALLET, body=notification_body(700, OWN, "INV-1"))
    await market.round()
    assert (await market.balance("USDT"), await market.owned("USDT")) == (0, 700)
    assert await market.came_in("USDT") == 700
    for _ in range(2):
        assert await market.reconcile() == []


async def test_a_transfer_that_came_back_from_our_own_wallet_is_not_booked(market: Marketplace) -> None:
    market.chain.transfer(CENT, sender=OWN, bounced=True)
    await market.round()
    assert await market.states() == ["internal"]
    assert await market.came_in() == 0


async def test_a_payout_to_a_users_own_address_is_credited_by_a_person_once(market: Marketplace) -> None:
    market.chain.transfer(9 * CENT, "INV-1")
    market.own.transfer(CENT, sender=OUR_WALLET)
    market.chain.balance -= CENT
    await market.round()
    deposit = await market.pool.fetchval("SELECT id FROM market.deposits WHERE state = 'internal'")
    async with market.pool.acquire() as connection:
        await attribute(connection, deposit, market.owner)
        with pytest.raises(AttributionError):
            await attribute(connection, deposit, market.owner)
    assert (await market.owned(), await market.came_in()) == (CENT, 10 * CENT)
    # The payout itself is the marketplace's to post; here people know of it.
    assert await market.reconcile(expected={"TON": -CENT}) == []


async def test_a_rescan_and_a_second_round_leave_them_alone(market: Marketplace) -> None:
    market.own.transfer(5 * CENT)
    market.sweep(CENT)
    await market.round(providers=1)  # on the word of one
    await market.pool.execute("DELETE FROM dozor.cursors")
    await market.round()
    assert sorted(await market.states()) == ["credited", "internal"]
    assert await market.came_in() == 5 * CENT


@pytest.mark.parametrize("blocks_from", [1, 200])
async def test_a_sweep_over_the_limit_of_a_single_provider_does_not_wait_for_a_person(
    market: Marketplace, blocks_from: int
) -> None:
    limits = {"single_source_limit": {"TON": 6 * CENT}, "single_source_window_limit": {"TON": 6 * CENT}}
    for _ in range(2):
        market.own.transfer(3 * CENT)
    await market.round(providers=1, blocks_from=blocks_from, **limits)
    market.sweep(6 * CENT)
    market.chain.transfer(1, sender=OWN)
    market.own.balance -= 1
    await market.round(providers=1, blocks_from=blocks_from, **limits)
    assert await market.states() == ["credited", "credited", "internal", "internal"]
    assert await market.pool.fetchval("SELECT count(*) FROM market.ton_pending") == 0
    market.own.transfer(3 * CENT)  # the window is used up all the same
    await market.round(providers=1, blocks_from=blocks_from, **limits)
    assert await market.pool.fetchval("SELECT count(*) FROM market.ton_pending") == 1
    for _ in range(2):
        assert await market.reconcile() == []


@pytest.mark.parametrize("prefix", ["00:", "-0:", "1:", "-01:"])
@pytest.mark.parametrize("table", ["ton_wallets", "ton_jetton_wallets"])
async def test_an_address_has_one_form_in_the_tables(market: Marketplace, prefix: str, table: str) -> None:
    insert = {
        "ton_wallets": "INSERT INTO market.ton_wallets (address) VALUES ($1)",
        "ton_jetton_wallets": "UPDATE market.ton_jetton_wallets SET address = $1",
    }
    with pytest.raises(asyncpg.CheckViolationError, match="raw form"):
        await market.pool.execute(insert[table], prefix + "31" * 32)
