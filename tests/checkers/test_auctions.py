"""Auctions: bids reserve money, settlement pays once, impossible rows are set aside."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.auctions import check_auctions
from dozor_market.bidding import BidRefusal, BidRefusedError, create_auction, place_bid
from dozor_market.ledger import AmountError, InsufficientFundsError, audit
from tests.checkers.stage import StageContext, house, purse, rich_user

LATER = datetime(2100, 1, 1, tzinfo=UTC)
END = "UPDATE market.auctions SET ends_at = now() - interval '1 second' WHERE id = $1"


async def state_of(connection: Connection, auction: int) -> str:
    state: str = await connection.fetchval("SELECT state FROM market.auctions WHERE id = $1", auction)
    return state


async def bid_states(connection: Connection, auction: int) -> list[str]:
    rows = await connection.fetch("SELECT state FROM market.bids WHERE auction_id = $1 ORDER BY id", auction)
    return [row["state"] for row in rows]


async def test_the_winner_pays_the_seller_less_the_fee_and_an_outbid_bidder_is_whole_again(
    pool: Pool,
) -> None:
    async with pool.acquire() as connection:
        seller, ann, bob = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")]
        auction = await create_auction(connection, seller, "TON", LATER, fee_bps=333)
        await place_bid(connection, auction, ann, 500)
        assert await purse(connection, ann) == {"available": 500, "held": 500, "collateral": 0}
        await place_bid(connection, auction, bob, 600)
        assert await purse(connection, ann) == {"available": 1000, "held": 0, "collateral": 0}
        await connection.execute(END, auction)
        await check_auctions(StageContext(pool))
        assert await state_of(connection, auction) == "settled"
        assert await purse(connection, bob) == {"available": 400, "held": 0, "collateral": 0}
        assert (await purse(connection, seller))["available"] == 1000 + 600 - 19  # 3.33% of 600 is 19.98
        assert await house(connection) == 19
        assert await bid_states(connection, auction) == ["outbid", "won"]
        assert await audit(connection) == []


async def test_no_bids_and_a_reserve_not_met_leave_it_unsold_and_release_the_bidder(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        empty = await create_auction(connection, seller, "TON", LATER)
        dear = await create_auction(connection, seller, "TON", LATER, reserve_price=501)
        met = await create_auction(connection, seller, "TON", LATER, reserve_price=400)
        await place_bid(connection, dear, ann, 500)
        await place_bid(connection, met, ann, 400)
        for auction in (empty, dear, met):
            await connection.execute(END, auction)
        await check_auctions(StageContext(pool))
        assert [await state_of(connection, auction) for auction in (empty, dear, met)] == [
            "unsold",
            "unsold",
            "settled",
        ]
        assert await bid_states(connection, dear) == ["lost"]
        assert await purse(connection, ann) == {"available": 600, "held": 0, "collateral": 0}
        assert await audit(connection) == []


async def test_equal_sealed_bids_go_to_the_earlier_and_at_one_time_to_the_lower_id(pool: Pool) -> None:
    async with pool.acquire() as connection:
        people = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob", "eve")]
        by_time, by_id = [
            await create_auction(connection, people[0], "TON", LATER, sealed=True) for _ in range(2)
        ]
        for auction in (by_time, by_id):
            for person in people[1:]:
                await place_bid(connection, auction, person, 300)
        await connection.execute("UPDATE market.bids SET placed_at = now() WHERE auction_id = $1", by_id)
        await connection.execute(
            "UPDATE market.bids SET placed_at = placed_at - interval '1 h'"
            " WHERE auction_id = $1 AND bidder_id = $2",
            by_time,
            people[2],
        )
        for auction in (by_time, by_id):
            await connection.execute(END, auction)
        await check_auctions(StageContext(pool))
        assert await bid_states(connection, by_time) == ["lost", "won", "lost"]
        assert await bid_states(connection, by_id) == ["won", "lost", "lost"]
        assert await audit(connection) == []


@pytest.mark.parametrize(
    ("amount", "who", "refusal"),
    [(99, "ann", BidRefusal.LOW), (204, "bob", BidRefusal.LOW), (300, "seller", BidRefusal.OWN)],
)
async def test_a_bid_that_breaks_the_terms_is_refused(
    pool: Pool, amount: int, who: str, refusal: BidRefusal
) -> None:
    async with pool.acquire() as connection:
        people = {name: await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")}
        auction = await create_auction(
            connection, people["seller"], "TON", LATER, start_price=100, min_increment=5
        )
        await place_bid(connection, auction, people["ann"], 200)
        with pytest.raises(BidRefusedError) as refused:
            await place_bid(connection, auction, people[who], amount)
        assert refused.value.refusal is refusal


async def test_a_late_bid_is_refused_by_the_databases_clock(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        await connection.execute(END, auction)
        with pytest.raises(BidRefusedError) as late:
            await place_bid(connection, auction, ann, 10)
        assert late.value.refusal is BidRefusal.LATE
        await check_auctions(StageContext(pool))
        with pytest.raises(BidRefusedError) as closed:
            await place_bid(connection, auction, ann, 10)
        assert closed.value.refusal is BidRefusal.CLOSED
        with pytest.raises(BidRefusedError) as unknown:
            await place_bid(connection, 10**9, ann, 10)
        assert unknown.value.refusal is BidRefusal.UNKNOWN


async def test_a_bid_that_waited_for_the_lock_past_the_end_is_late(pool: Pool) -> None:
    """The clock is read after the lock is taken, not when the bidder began."""
    async with pool.acquire() as holder, pool.acquire() as bidder:
        seller, ann = [await rich_user(holder, name, 1000) for name in ("seller", "ann")]
        end = await holder.fetchval("SELECT clock_timestamp() + interval '400 ms'")
        auction = await create_auction(holder, seller, "TON", end)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT FROM market.auctions WHERE id = $1 FOR UPDATE", auction)
        bid = asyncio.create_task(place_bid(bidder, auction, ann, 10))
        await holder.execute("SELECT pg_sleep(greatest(0, extract(epoch FROM $1 - clock_timestamp())))", end)
        await transaction.commit()
        with pytest.raises(BidRefusedError) as late:
            await bid
        assert late.value.refusal is BidRefusal.LATE


@pytest.mark.parametrize("amount", [0, -1, 2**63, 1.5, True, "7"])
async def test_an_amount_that_is_no_positive_bigint_is_refused(pool: Pool, amount: int) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        with pytest.raises(AmountError):
            await place_bid(connection, auction, ann, amount)


async def test_nobody_bids_money_they_do_not_have_and_raising_counts_what_is_held_already(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        with pytest.raises(InsufficientFundsError):
            await place_bid(connection, auction, ann, 1001)
        await place_bid(connection, auction, ann, 900)
        await place_bid(connection, auction, ann, 1000)
        assert await purse(connection, ann) == {"available": 0, "held": 1000, "collateral": 0}
        assert await audit(connection) == []


async def test_one_auction_settles_once_however_many_runners_there_are(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10_000) for name in ("seller", "ann")]
        for _ in range(60):
            auction = await create_auction(connection, seller, "TON", LATER, fee_bps=100)
            await place_bid(connection, auction, ann, 100)
        await connection.execute("UPDATE market.auctions SET ends_at = now()")
        await asyncio.gather(*(check_auctions(StageContext(pool), batch=7) for _ in range(4)))
        assert await connection.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'settled'") == 60
        assert await house(connection) == 60
        assert await audit(connection) == []


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("UPDATE market.bids SET amount = 900 WHERE id = $1", "bid {bid} says 900 but 500 was set aside"),
        ("UPDATE market.bids SET state = 'outbid' WHERE id = $1", "the best bid is not held"),
        (
            "UPDATE market.bids SET state = 'won' WHERE id = $1",
            "bid {bid} is won although the auction is open",
        ),
        ("UPDATE market.bids SET bidder_id = 1 WHERE id = $1", "nothing was set aside for bid {bid}"),
        (
            "UPDATE market.auctions a SET currency = 'USDT' FROM market.bids b"
            " WHERE b.id = $1 AND a.id = auction_id",
            "nothing was set aside for bid {bid}",
        ),
    ],
)
async def test_an_auction_edited_by_hand_is_quarantined_with_one_alert_and_the_rest_goes_on(
    pool: Pool, edit: str, words: str
) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10_000) for name in ("seller", "ann")]
        auctions = [await create_auction(connection, seller, "TON", LATER) for _ in range(9)]
        bids = [await place_bid(connection, auction, ann, 500) for auction in auctions]
        await connection.execute(edit, bids[4])
        await connection.execute("UPDATE market.auctions SET ends_at = now()")
        context = StageContext(pool)
        await check_auctions(context)
        await check_auctions(context)
        states = [await state_of(connection, auction) for auction in auctions]
        assert states == ["settled"] * 4 + ["quarantined"] + ["settled"] * 4
        assert len(context.alerts) == 1
        assert f"auction {auctions[4]}: {words.format(bid=bids[4])}" in context.alerts[0][0]
        assert await connection.fetchval("SELECT sum(balance) FROM market.accounts") == 0


async def test_a_settled_auction_reopened_by_hand_is_not_paid_twice(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10_000) for name in ("seller", "ann")]
        auctions = [await create_auction(connection, seller, "TON", LATER) for _ in range(3)]
        for auction in auctions:
            await place_bid(connection, auction, ann, 500)
        await connection.execute(END, auctions[1])
        context = StageContext(pool)
        await check_auctions(context)
        await connection.execute(
            "UPDATE market.auctions"
            " SET state = 'open', closed_at = NULL, winning_bid_id = NULL, ends_at = now()"
        )
        await connection.execute("UPDATE market.bids SET state = 'held'")
        await check_auctions(context)
        states = [await state_of(connection, auction) for auction in auctions]
        assert states == ["settled", "quarantined", "settled"]
        assert f"auction {auctions[1]}: " in context.alerts[0][0]
        assert "movements_once" in context.alerts[0][0]
        assert (await purse(connection, seller))["available"] == 10_000 + 3 * 500
        assert await connection.fetchval("SELECT sum(balance) FROM market.accounts") == 0


async def test_losers_of_a_sealed_auction_are_released_and_below_the_reserve_everybody_is(pool: Pool) -> None:
    async with pool.acquire() as connection:
        people = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob", "eve")]
        sold = await create_auction(connection, people[0], "TON", LATER, sealed=True, fee_bps=1000)
        unsold = await create_auction(connection, people[0], "TON", LATER, sealed=True, reserve_price=400)
        for auction in (sold, unsold):
            for person, amount in zip(people[1:], (100, 300, 200), strict=True):
                await place_bid(connection, auction, person, amount)
        await place_bid(connection, sold, people[1], 250)  # replaces their own 100
        await connection.execute("UPDATE market.auctions SET ends_at = now()")
        await check_auctions(StageContext(pool))
        assert await bid_states(connection, sold) == ["outbid", "won", "lost", "lost"]
        assert await bid_states(connection, unsold) == ["lost"] * 3
        assert [(await purse(connection, person))["available"] for person in people] == [
            1270,
            1000,
            700,
            1000,
        ]
        assert await audit(connection) == []


async def test_an_auction_cannot_be_unsealed(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        auction = await create_auction(connection, seller, "TON", LATER, sealed=True)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute("UPDATE market.auctions SET sealed = false WHERE id = $1", auction)


async def test_money_released_once_is_not_released_again_when_the_rows_are_turned_back(pool: Pool) -> None:
    """Paid, then turned back by hand, below the reserve: another reference, the same hold, refused."""
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10_000) for name in ("seller", "ann")]
        paid, other = [await create_auction(connection, seller, "TON", LATER) for _ in range(2)]
        for auction in (paid, other):
            await place_bid(connection, auction, ann, 500)
        await connection.execute(END, paid)
        context = StageContext(pool)
        await check_auctions(context)
        await connection.execute("ALTER TABLE market.auctions DISABLE TRIGGER refuse_new_terms")
        await connection.execute(
            "UPDATE market.auctions SET state = 'open', closed_at = NULL, winning_bid_id = NULL,"
            " reserve_price = 999 WHERE id = $1",
            paid,
        )
        await connection.execute("UPDATE market.bids SET state = 'held'")
        await check_auctions(context)
        assert await state_of(connection, paid) == "quarantined"
        assert "movements_hold_ends_once" in context.alerts[0][0]
        assert await purse(connection, ann) == {"available": 9000, "held": 500, "collateral": 0}


async def test_the_fee_is_rounded_down_and_never_overflows(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for amount, bps in [
            (1, 9999),
            (9_999, 1),
            (10_000, 1),
            (2**63 - 1, 10_000),
            (2**63 - 1, 333),
            (5, 0),
        ]:
            assert (
                await connection.fetchval("SELECT market.fee($1, $2)", amount, bps) == amount * bps // 10_000
            )


async def test_a_stopping_runner_finishes_its_batch_and_leaves_the_rest(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        for _ in range(10):
            await connection.execute(END, await create_auction(connection, seller, "TON", LATER))
    context = StageContext(pool)
    context.progress = lambda done, total: context.stopping.set()  # type: ignore[method-assign]
    await check_auctions(context, batch=4, workers=1)
    assert await pool.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'open'") == 6


async def test_an_error_that_is_no_fault_of_a_row_fails_the_run_and_quarantines_nothing(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        await connection.execute(END, await create_auction(connection, seller, "TON", LATER))
        await connection.execute("ALTER TABLE market.bids RENAME TO bids_gone")
    context = StageContext(pool)
    with pytest.raises(asyncpg.UndefinedTableError):
        await check_auctions(context)
    assert await pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
    assert not any("set aside" in text for text, _ in context.alerts)
