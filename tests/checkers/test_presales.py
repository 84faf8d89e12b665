"""Presales: delivered in time or refunded, the collateral pays as far as it goes, one reminder."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.ledger import AmountError, InsufficientFundsError, LedgerError, audit
from dozor_market.presales import check_presales
from dozor_market.selling import DeliveryRefusal, DeliveryRefusedError, deliver, pay_presale, pledge
from tests.checkers.stage import StageContext, house, purse, rich_user

LATER = datetime(2100, 1, 1, tzinfo=UTC)
PASS = "UPDATE market.presales SET remind_at = NULL, deliver_by = now() - interval '1 second' WHERE id = $1"


async def two(connection: Connection) -> tuple[int, int]:
    """A seller and a buyer with 1,000 each."""
    return await rich_user(connection, "seller", 1000), await rich_user(connection, "buyer", 1000)


async def test_a_delivery_in_time_pays_the_seller_less_the_fee(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        presale = await pay_presale(connection, seller, buyer, "TON", 400, LATER, fee_bps=1000, penalty=50)
        assert await purse(connection, buyer) == {"available": 600, "held": 400, "collateral": 0}
        await deliver(connection, presale)
        assert (await purse(connection, seller))["available"] == 1360
        assert await house(connection) == 40
        with pytest.raises(DeliveryRefusedError) as again:
            await deliver(connection, presale)
        assert again.value.refusal is DeliveryRefusal.CLOSED
        await check_presales(StageContext(pool))
        assert await audit(connection) == []


async def test_an_overdue_presale_is_refunded_and_the_collateral_pays_as_far_as_it_goes(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        await pledge(connection, "pledge:1", seller, "TON", 120)
        presales = [
            await pay_presale(connection, seller, buyer, "TON", 100, LATER, penalty=50) for _ in range(4)
        ]
        for presale in presales:
            await connection.execute(PASS, presale)
        await check_presales(StageContext(pool))
        rows = await connection.fetch("SELECT state, penalty_taken FROM market.presales ORDER BY id")
        assert [tuple(row) for row in rows] == [
            ("overdue", 50),
            ("overdue", 50),
            ("overdue", 20),
            ("overdue", 0),
        ]
        assert await purse(connection, buyer) == {"available": 1000, "held": 0, "collateral": 0}
        assert await purse(connection, seller) == {"available": 880, "held": 0, "collateral": 0}
        assert await house(connection) == 120
        assert await audit(connection) == []


async def test_a_delivery_after_the_deadline_is_refused_by_the_databases_clock(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        presale = await pay_presale(connection, seller, buyer, "TON", 100, LATER)
        await connection.execute(PASS, presale)
        with pytest.raises(DeliveryRefusedError) as late:
            await deliver(connection, presale)
        assert late.value.refusal is DeliveryRefusal.LATE
        with pytest.raises(DeliveryRefusedError) as unknown:
            await deliver(connection, 10**9)
        assert unknown.value.refusal is DeliveryRefusal.UNKNOWN


async def test_the_seller_is_reminded_once_and_not_after_the_deadline(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        soon = datetime.now(UTC) + timedelta(hours=1)
        hour, day = timedelta(hours=2), timedelta(days=1)
        due = await pay_presale(connection, seller, buyer, "TON", 1, soon, remind_before=hour)
        await pay_presale(connection, seller, buyer, "TON", 1, LATER, remind_before=day)
        await pay_presale(connection, seller, buyer, "TON", 1, soon)
        passed = await pay_presale(connection, seller, buyer, "TON", 1, soon, remind_before=hour)
        await connection.execute(
            "UPDATE market.presales"
            " SET remind_at = now() - interval '2 s', deliver_by = now() - interval '1 s' WHERE id = $1",
            passed,
        )
        await asyncio.gather(*(check_presales(StageContext(pool)) for _ in range(2)))
        await check_presales(StageContext(pool))
        events = await connection.fetch("SELECT reference, user_id FROM market.events")
        assert [tuple(event) for event in events] == [(f"presale:{due}:reminder", seller)]


async def test_terms_that_make_no_sense_are_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        with pytest.raises(InsufficientFundsError):
            await pay_presale(connection, seller, buyer, "TON", 1001, LATER)
        with pytest.raises(AmountError):
            await pay_presale(connection, seller, buyer, "TON", 0, LATER)
        with pytest.raises(AmountError):
            await pay_presale(connection, seller, buyer, "TON", 1, LATER, penalty=-1)
        with pytest.raises(LedgerError):
            await pay_presale(connection, seller, seller, "TON", 1, LATER)
        with pytest.raises(LedgerError):
            await pay_presale(connection, seller, 10**9, "TON", 1, LATER)
        assert await audit(connection) == []


async def test_many_runners_refund_each_presale_once_and_share_one_collateral(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        await pledge(connection, "pledge:1", seller, "TON", 333)
        for _ in range(100):
            await pay_presale(connection, seller, buyer, "TON", 10, LATER, penalty=7)
        await connection.execute("UPDATE market.presales SET deliver_by = now()")
        await asyncio.gather(*(check_presales(StageContext(pool), batch=6) for _ in range(3)))
        taken = await connection.fetchval(
            "SELECT sum(penalty_taken) FROM market.presales WHERE state = 'overdue'"
        )
        assert (taken, await house(connection)) == (333, 333)
        assert (await purse(connection, buyer))["available"] == 1000
        assert await audit(connection) == []


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("UPDATE market.presales SET price = 11 WHERE id = $1", "the price says 11 but 10 was set aside"),
        ("UPDATE market.presales SET currency = 'USDT' WHERE id = $1", "nothing was set aside by user"),
    ],
)
async def test_a_presale_edited_by_hand_is_quarantined_and_the_rest_goes_on(
    pool: Pool, edit: str, words: str
) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        presales = [await pay_presale(connection, seller, buyer, "TON", 10, LATER) for _ in range(5)]
        await connection.execute(edit, presales[2])
        await connection.execute("UPDATE market.presales SET deliver_by = now()")
        context = StageContext(pool)
        await check_presales(context)
        await check_presales(context)
        states = [
            row["state"] for row in await connection.fetch("SELECT state FROM market.presales ORDER BY id")
        ]
        assert states == ["overdue", "overdue", "quarantined", "overdue", "overdue"]
        assert len(context.alerts) == 1
        assert f"presale {presales[2]}: {words}" in context.alerts[0][0]


async def test_a_delivered_presale_reopened_by_hand_is_not_refunded_as_well(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = await two(connection)
        presale = await pay_presale(connection, seller, buyer, "TON", 100, LATER)
        await pay_presale(connection, seller, buyer, "TON", 100, LATER)
        await deliver(connection, presale)
        await connection.execute(
            "UPDATE market.presales SET state = 'paid', closed_at = NULL, deliver_by = now() WHERE id = $1",
            presale,
        )
        context = StageContext(pool)
        await check_presales(context)
        assert f"presale {presale}: " in context.alerts[0][0]
        assert await purse(connection, buyer) == {"available": 800, "held": 100, "collateral": 0}
