"""One poisoned row among many: the others are settled in the same run, and one incident names it."""

from __future__ import annotations

import pytest

from benchmarks.marketplace import fill
from dozor.storage.postgres.pool import Pool
from dozor_market.auctions import check_auctions
from dozor_market.ledger import AccountKind, transfer
from dozor_market.presales import check_presales
from tests.checkers.stage import StageContext
from tests.effort import cases

MANY = cases(1500, 10_000)
"""Auctions or presales, in two batches."""
BATCH = MANY // 2
EDITED = "UPDATE market.bids SET amount = amount + 1 WHERE auction_id = $1 AND state = 'held'"


@pytest.mark.parametrize("way", ["edited by hand", "refused by the ledger"])
async def test_one_poisoned_auction_among_many(pool: Pool, way: str) -> None:
    async with pool.acquire() as connection:
        await fill(connection, auctions=MANY, bids_each=2, people=500)
        if way == "edited by hand":
            await connection.execute(EDITED, 777)
        else:  # its reference is taken: found only when the batch is posted, by halving it
            outside, house = (None, AccountKind.EXTERNAL), (None, AccountKind.HOUSE)
            await transfer(connection, "auction:777:settled", "TON", 1, source=outside, target=house)
    context = StageContext(pool)
    await check_auctions(context, batch=BATCH)
    states = await pool.fetch(
        "SELECT state, count(*) AS n FROM market.auctions GROUP BY state ORDER BY state"
    )
    assert {row["state"]: row["n"] for row in states} == {
        "quarantined": 1,
        "settled": MANY * 19 // 20 - 1,
        "unsold": MANY // 20,
    }
    incidents = [text for text, _ in context.alerts if "set aside" in text]
    assert len(incidents) == 1
    assert "auction 777: " in incidents[0]
    assert "Unique" in incidents[0] or "says" in incidents[0]
    assert await pool.fetchval("SELECT sum(balance) FROM market.accounts") == 0
    again = StageContext(pool)
    await check_auctions(again, batch=BATCH)
    assert again.alerts == [] or all("caught up" in text for text, _ in again.alerts)


async def test_one_poisoned_presale_among_many(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await fill(connection, auctions=0, people=500, presales=MANY)
        await connection.execute("UPDATE market.presales SET price = price + 1 WHERE id = 777")
    context = StageContext(pool)
    await check_presales(context, batch=BATCH, behind_after=None)
    states = await pool.fetch(
        "SELECT state, count(*) AS n FROM market.presales GROUP BY state ORDER BY state"
    )
    assert {row["state"]: row["n"] for row in states} == {"overdue": MANY - 1, "quarantined": 1}
    assert len(context.alerts) == 1
    assert "presale 777: the price says" in context.alerts[0][0]
    assert await pool.fetchval("SELECT sum(balance) FROM market.accounts") == 0
