"""A process that runs the three checkers until nothing is left, to be killed while it does.

python -m tests.checkers.worker DSN PROVIDER_URL BATCH
"""

from __future__ import annotations

import asyncio
import sys

from loguru import logger

from dozor.storage.postgres.pool import create_pool
from dozor_market.auctions import check_auctions
from dozor_market.presales import check_presales
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext


async def work(dsn: str, url: str, batch: int) -> None:
    pool = await create_pool(dsn, min_size=1, max_size=6, command_timeout=None)
    print("ready", flush=True)
    await asyncio.gather(
        check_auctions(StageContext(pool), batch=batch, behind_after=None),
        check_presales(StageContext(pool), batch=batch, behind_after=None),
        check_transactions(
            StageContext(pool),
            providers=[{"kind": "toncenter", "url": url, "rps": 10_000}],
            behind_after=None,
        ),
    )
    await pool.close()


if __name__ == "__main__":
    logger.remove()
    asyncio.run(work(sys.argv[1], sys.argv[2], int(sys.argv[3])))
