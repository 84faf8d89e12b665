"""Statements of the marketplace: which rows they claim, lock and keep, and what they say of broken rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor_market import auctions, presales
from dozor_market.auctions import check_auctions, settle
from dozor_market.bidding import create_auction, place_bid
from dozor_market.demo.chain import OUR_WALLET, raw
from dozor_market.ledger import MAX_AMOUNT, LedgerError, audit
from dozor_market.presales import check_presales
from dozor_market.selling import pay_presale, pledge
from dozor_market.ton import reader
from dozor_market.ton.agreement import allowance, pending
from dozor_market.ton.agreement.limits import SingleSourceLimits
from dozor_market.ton.crediting import book
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.reader import START, Wallet
from tests.checkers.stage import StageContext, purse, rich_user
from tests.checkers.town import CENT, open_town

LATER = datetime(2100, 1, 1, tzinfo=UTC)
ADDRESS = raw(OUR_WALLET)
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"


async def break_in(connection: Connection, statement: str, *arguments: object) -> None:
    """Change a table behind the back of its triggers and keys."""
    async with connection.transaction():
        await connection.execute(WITHOUT_TRIGGERS)
        await connection.execute(statement, *arguments)


async def faults(connection: Connection, *numbers: int) -> dict[int, str]:
    async with connection.transaction():
        return await settle(connection, numbers)


async def test_an_auction_that_cannot_be_settled_says_each_reason_once_and_no_other(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, poor, ann, bob = [
            await rich_user(connection, name, 10_000) for name in ("seller", "poor", "ann", "bob")
        ]
        sealed = await create_auction(connection, seller, "TON", LATER, sealed=True)
        edited = [await place_bid(connection, sealed, who, 500) for who in (ann, bob)]
        await connection.execute("UPDATE market.bids SET amount = 900 WHERE auction_id = $1", sealed)
        others = [await create_auction(connection, seller, "TON", LATER) for _ in range(3)]
        lost = await place_bid(connection, others[0], ann, 300)
        good = await place_bid(connection, others[1], ann, 300)
        empty = await create_auction(connection, poor, "TON", LATER)
        await break_in(
            connection, "DELETE FROM market.accounts WHERE user_id = $1 AND currency = 'TON'", poor
        )
        eve = await rich_user(connection, "eve", 0)
        await break_in(connection, "UPDATE market.bids SET bidder_id = $1 WHERE id = $2", eve, lost)
        await break_in(
            connection,
            "DELETE FROM market.accounts WHERE user_id = $1 AND currency = 'TON' AND kind = 'held'",
            eve,
        )
        found = await faults(connection, sealed, *others, empty)
        assert found == {
            sealed: "; ".join(f"bid {bid} says 900 but 500 was set aside" for bid in edited),
            others[0]: f"nothing was set aside for bid {lost} by user {eve} in TON",
            empty: "the seller has no account in TON",
        }
        states = await connection.fetch(
            "SELECT state FROM market.auctions WHERE id = ANY($1) ORDER BY id", [others[1], others[2]]
        )
        assert [row["state"] for row in states] == ["settled", "unsold"]
        assert await connection.fetchval("SELECT state FROM market.bids WHERE id = $1", good) == "won"


async def test_a_bid_does_not_release_money_that_the_ledger_did_not_set_aside(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann, bob = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")]
        auction = await create_auction(connection, seller, "TON", LATER)
        bid = await place_bid(connection, auction, ann, 500)
        await connection.execute(
            "UPDATE market.bids SET hold_movement_id = (SELECT min(id) FROM market.movements) WHERE id = $1",
            bid,
        )
        with pytest.raises(LedgerError):
            await place_bid(connection, auction, bob, 600)
        assert await purse(connection, ann) == {"available": 500, "held": 500, "collateral": 0}
        assert await purse(connection, bob) == {"available": 1000, "held": 0, "collateral": 0}
        rows = await connection.fetch("SELECT id, state FROM market.bids")
        assert [tuple(row) for row in rows] == [(bid, "held")]


async def test_a_backlog_counts_from_what_waits_longest(pool: Pool) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    async with pool.acquire() as connection:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        for number in range(3):
            at = long_ago + timedelta(hours=number)
            auction = await create_auction(connection, seller, "TON", LATER)
            await connection.execute("UPDATE market.auctions SET ends_at = $2 WHERE id = $1", auction, at)
            presale = await pay_presale(connection, seller, buyer, "TON", 10, LATER)
            await connection.execute("UPDATE market.presales SET deliver_by = $2 WHERE id = $1", presale, at)
    for check in (check_auctions, check_presales):
        context = StageContext(pool)
        await check(context)
        assert context.backlogs[0] == (3, long_ago)


@pytest.mark.parametrize("claim", [auctions.CLAIM, presales.CLAIM, presales.CLAIM_REMINDERS])
async def test_a_row_that_another_runner_works_on_is_passed_over(pool: Pool, claim: str) -> None:
    async with pool.acquire() as connection, pool.acquire() as other:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        for _ in range(2):
            await create_auction(connection, seller, "TON", LATER)
            await pay_presale(connection, seller, buyer, "TON", 10, LATER)
        if claim == presales.CLAIM_REMINDERS:
            await connection.execute("UPDATE market.presales SET remind_at = '2026-01-01'")
        else:
            await connection.execute("UPDATE market.presales SET deliver_by = '2026-01-01'")
        await connection.execute("UPDATE market.auctions SET ends_at = '2026-01-01'")
        async with connection.transaction(), other.transaction():
            [first] = await connection.fetch(claim, 1)
            await other.execute("SET LOCAL lock_timeout = '1s'")
            [second] = await other.fetch(claim, 5)
            assert second["id"] > first["id"]


async def test_a_refund_locks_the_accounts_that_it_posts_to_and_no_others(pool: Pool) -> None:
    async with pool.acquire() as connection:
        people = [await rich_user(connection, name, 1000) for name in ("seller", "buyer", "third")]
        seller, buyer, third = people
        presale = await pay_presale(connection, seller, buyer, "TON", 10, LATER)
        await pay_presale(connection, third, seller, "TON", 10, LATER)
        ids = [row["id"] for row in await connection.fetch(presales.ACCOUNTS, [presale])]
        rows = await connection.fetch(
            "SELECT user_id, kind, currency FROM market.accounts WHERE id = ANY($1)", ids
        )
        assert {tuple(row) for row in rows if row["user_id"] is not None} == {
            (seller, "collateral", "TON"),
            (buyer, "held", "TON"),
            (buyer, "available", "TON"),
        }
        assert {row["kind"] for row in rows if row["user_id"] is None} == {"house"}


async def test_presales_of_one_seller_are_penalised_in_one_batch_as_far_as_the_collateral_goes(
    pool: Pool,
) -> None:
    async with pool.acquire() as connection:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        await pledge(connection, "pledge:1", seller, "TON", 100)
        for penalty in (50, 30, 40, 5):
            await pay_presale(connection, seller, buyer, "TON", 10, LATER, penalty=penalty)
        await connection.execute("UPDATE market.presales SET deliver_by = '2026-01-01'")
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM market.presales ORDER BY id")]
        async with connection.transaction():
            assert await presales.refund(connection, ids) == {}
        rows = await connection.fetch("SELECT penalty_taken FROM market.presales ORDER BY id")
        assert [row["penalty_taken"] for row in rows] == [50, 30, 20, 0]
        assert await audit(connection) == []


# -- TON


def receipt(number: int, amount: int = 5, currency: str = "TON") -> Receipt:
    return Receipt(
        Position(number, bytes([number]) * 32), START, 1_790_000_000, Kind.TRANSFER, currency, amount
    )


async def test_sums_on_one_providers_word_are_kept_for_thirty_days_or_the_window(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for days in (29, 31, 61):
            await connection.execute(
                "INSERT INTO market.ton_single_source_credits (currency, amount, credited_at)"
                " VALUES ('TON', $1::int, now() - make_interval(days => $1::int))",
                days,
            )
        kept = "SELECT amount::int FROM market.ton_single_source_credits ORDER BY id"
        for window, expected in ((60 * 86_400.0, [29, 31]), (60.0, [29])):
            await allowance.use(connection, {}, SingleSourceLimits({}, {}, window))
            assert [row["amount"] for row in await connection.fetch(kept)] == expected


async def test_what_waits_is_listed_even_in_a_currency_that_the_ledger_does_not_know(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", ADDRESS)
        await pending.note_held(connection, ADDRESS, [receipt(1), receipt(2, currency="NEW")], "toncenter")
        found = await pending.read_pending(connection)
        assert [(one.lt, one.currency, one.decimals) for one in found] == [(1, "TON", 9), (2, "NEW", None)]


async def test_an_amount_beyond_the_ledger_is_refused_with_its_number_and_the_others_are_booked(
    pool: Pool,
) -> None:
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", ADDRESS)
        largest, large, small = receipt(1, MAX_AMOUNT), receipt(2, MAX_AMOUNT + 1), receipt(3)
        booked, refused = await book(connection, Wallet(ADDRESS, None, 0, {}), [largest, large], {})
        assert [one.at.lt for one in booked] == [1]
        assert refused == {large: f"{MAX_AMOUNT + 1} is beyond a bigint"}
        booked, refused = await book(connection, Wallet(ADDRESS, None, 0, {}), [receipt(3, 5, "USDT")], {})
        assert ([one.at for one in booked], refused) == ([small.at], {})


async def test_a_history_of_several_blocks_is_credited_in_one_run(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK", 2)
    async with open_town(pool) as town:
        for _ in range(7):
            town.chain.transfer(CENT, "INV-1")
        served, url = await town.provider()
        other, second = await town.provider()
        served.page_limit, other.page_limit = 3, 3
        await town.check(url, second)
        assert await town.balance() == 7 * CENT
        assert await town.cursor() == town.chain.entries[-1].lt
