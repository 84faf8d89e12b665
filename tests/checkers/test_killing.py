"""Four processes, killed at random while they work: nothing lost, nothing twice, nothing left.

The whole campaign (100,000 auctions, 500,000 bids, 30 kills) is `python -m benchmarks.settlement --kills`.
"""

from __future__ import annotations

import pytest

from benchmarks.marketplace import fill
from dozor.storage.postgres.pool import Pool
from tests.checkers.killing import DEPOSIT, campaign

AUCTIONS, PRESALES, DEPOSITS, KILLS = 2000, 300, 300, 6


@pytest.mark.parametrize("sealed", [False, True])
async def test_killed_processes_settle_everything_once(pool: Pool, database: str, sealed: bool) -> None:
    async with pool.acquire() as connection:
        await fill(connection, auctions=AUCTIONS, people=300, sealed=sealed, presales=PRESALES)
    report = await campaign(
        pool, database, kills=KILLS, deposits=DEPOSITS, batch=1, seed=7, pause=(0.0, 0.05)
    )
    assert (report.left, report.faults, report.quarantined) == (0, [], 0)
    assert report.kills == KILLS
    assert report.auctions == {"settled": AUCTIONS * 19 // 20, "unsold": AUCTIONS // 20}
    assert report.settled_movements == report.bids["won"] == report.auctions["settled"]
    assert report.presales == {"overdue": PRESALES}
    assert report.deposited == DEPOSITS * DEPOSIT
