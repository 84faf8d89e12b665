"""Four processes, killed at random while they work: nothing lost, nothing twice, nothing left.

The whole campaign (100,000 auctions, 500,000 bids, 30 kills) is `python -m benchmarks.settlement --kills`.
"""

from __future__ import annotations

from benchmarks.marketplace import AUCTIONS, BIDS, fill
from dozor.storage.postgres.pool import Pool
from tests.checkers.killing import DEPOSIT, campaign
from tests.effort import cases

OPEN = SEALED = cases(200, 2000)
PRESALES = DEPOSITS = cases(100, 300)
KILLS = cases(4, 12)
PEOPLE, BIDS_EACH = 300, 5


async def test_killed_processes_settle_everything_once(pool: Pool, database: str) -> None:
    auctions = OPEN + SEALED
    async with pool.acquire() as connection:
        await fill(connection, auctions=OPEN, bids_each=BIDS_EACH, people=PEOPLE, presales=PRESALES)
        await connection.execute(AUCTIONS, SEALED, PEOPLE, True)
        await connection.execute(BIDS, BIDS_EACH, PEOPLE, OPEN + 1, auctions)
    report = await campaign(
        pool, database, kills=KILLS, deposits=DEPOSITS, batch=1, seed=7, pause=(0.0, 0.05)
    )
    assert (report.left, report.faults, report.quarantined) == (0, [], 0)
    assert report.kills == KILLS
    assert report.auctions == {"settled": auctions * 19 // 20, "unsold": auctions // 20}
    assert report.settled_movements == report.bids["won"] == report.auctions["settled"]
    assert report.presales == {"overdue": PRESALES}
    assert report.deposited == DEPOSITS * DEPOSIT
