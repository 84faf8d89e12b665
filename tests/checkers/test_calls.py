"""Idempotency keys: a repeated call returns what it returned before and moves nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dozor.storage.postgres.pool import Pool
from dozor_market.auctions import check_auctions
from dozor_market.bidding import BidRefusedError, create_auction, place_bid
from dozor_market.calls import KeyReusedError, KeyShapeError
from dozor_market.codes import issue_code
from dozor_market.decisions.attribution import attribute
from dozor_market.ledger import InsufficientFundsError, audit
from dozor_market.selling import deliver, pay_presale
from tests.checkers.stage import StageContext, purse, rich_user
from tests.checkers.town import open_town

LATER = datetime(2100, 1, 1, tzinfo=UTC)
END = "UPDATE market.auctions SET ends_at = now() - interval '1 second' WHERE id = $1"
MOVEMENTS = "SELECT count(*) FROM market.movements"


async def test_a_bid_repeated_with_its_key_is_the_same_bid_even_when_outbid_or_ended(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann, bob = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")]
        auction = await create_auction(connection, seller, "TON", LATER)
        bid = await place_bid(connection, auction, ann, 100, key="ann-1")
        await place_bid(connection, auction, bob, 200, key="bob-1")
        before = await connection.fetchval(MOVEMENTS)
        assert await place_bid(connection, auction, ann, 100, key="ann-1") == bid
        await connection.execute(END, auction)
        assert await place_bid(connection, auction, ann, 100, key="ann-1") == bid
        await check_auctions(StageContext(pool))
        assert await place_bid(connection, auction, ann, 100, key="ann-1") == bid
        assert await connection.fetchval(MOVEMENTS) == before + 1  # the settlement
        assert await purse(connection, ann) == {"available": 1000, "held": 0, "collateral": 0}
        assert await audit(connection) == []


async def test_a_key_replayed_with_other_arguments_or_for_another_call_is_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann, bob = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")]
        auction, other = [await create_auction(connection, seller, "TON", LATER) for _ in range(2)]
        await place_bid(connection, auction, ann, 100, key="k")
        before = await connection.fetchval(MOVEMENTS)
        for again in (
            place_bid(connection, auction, ann, 101, key="k"),
            place_bid(connection, auction, bob, 100, key="k"),
            place_bid(connection, other, ann, 100, key="k"),
            pay_presale(connection, seller, ann, "TON", 100, LATER, key="k"),
            deliver(connection, 1, key="k"),
            attribute(connection, 1, ann, key="k"),
            create_auction(connection, seller, "TON", LATER, key="k"),
            issue_code(connection, ann, key="k"),
        ):
            with pytest.raises(KeyReusedError, match=r"'k' was used for another call .*bid") as refused:
                await again
            assert "100" not in str(refused.value)  # the earlier bid may be another user's, and sealed
        assert await connection.fetchval(MOVEMENTS) == before
        assert await audit(connection) == []


async def test_a_call_that_was_refused_leaves_no_key(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER, start_price=500)
        with pytest.raises(BidRefusedError):
            await place_bid(connection, auction, ann, 100, key="k")
        with pytest.raises(InsufficientFundsError):
            await place_bid(connection, auction, ann, 1001, key="k")
        async with connection.transaction():  # in the caller's transaction as well
            with pytest.raises(BidRefusedError):
                await place_bid(connection, auction, ann, 100, key="k")
            assert await place_bid(connection, auction, ann, 600, key="k") > 0
        assert await connection.fetchval("SELECT count(*) FROM market.calls") == 1


async def test_one_key_at_once_makes_one_bid(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER, sealed=True)

    async def bid() -> int:
        async with pool.acquire() as connection:
            return await place_bid(connection, auction, ann, 300, key="once")

    bids = await asyncio.gather(*(bid() for _ in range(12)))
    assert len(set(bids)) == 1
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM market.bids") == 1
        assert (await purse(connection, ann))["held"] == 300
        assert await audit(connection) == []


async def test_presale_delivery_auction_and_code_are_made_once(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        here = LATER.astimezone(timezone(timedelta(hours=3)))  # the same moment is the same argument

        async def calls(deadline: datetime) -> tuple[object, ...]:
            presale = await pay_presale(connection, seller, buyer, "TON", 400, deadline, key="pay")
            await deliver(connection, presale, key="deliver")
            return (
                presale,
                await create_auction(connection, seller, "TON", deadline, key="auction"),
                await issue_code(connection, buyer, key="code"),
            )

        assert await calls(LATER) == await calls(here)
        with pytest.raises(KeyReusedError):
            await pay_presale(connection, seller, buyer, "TON", 401, LATER, key="pay")
        assert await purse(connection, buyer) == {"available": 600, "held": 0, "collateral": 0}
        assert (await purse(connection, seller))["available"] == 1400
        assert await audit(connection) == []


async def test_an_attribution_repeated_with_its_key_is_the_same_attribution(pool: Pool) -> None:
    async with open_town(pool) as town:
        town.chain.transfer(5 * 10**9, "nobody")
        _, url = await town.provider()
        await town.check(url)
        deposit = await pool.fetchval("SELECT id FROM market.deposits WHERE state = 'unmatched'")
        async with pool.acquire() as connection:
            done = await attribute(connection, deposit, town.user, key="k")
            assert await attribute(connection, deposit, town.user, key="k") == done
            with pytest.raises(KeyReusedError):
                await attribute(connection, deposit, 10**9, key="k")
        assert await town.balance() == 5 * 10**9


@pytest.mark.parametrize("key", ["", "x" * 201, "a\0b", "\ud800", 7, b"k", True])
async def test_a_key_that_cannot_be_kept_is_refused(pool: Pool, key: Any) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(KeyShapeError):
            await place_bid(connection, 1, 1, 100, key=key)
