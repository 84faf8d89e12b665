"""What has been kept long enough is deleted, a portion at a time."""

from __future__ import annotations

import asyncio

from runner.storage import notifications, runs
from runner.storage.pool import Pool, unavailable

EVERY = 600.0
"""Seconds."""
KEEP_DAYS = 90


async def prune_for_ever(pool: Pool) -> None:
    """Delete history and settled messages older than `KEEP_DAYS`."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            async with pool.acquire() as connection:
                await runs.prune(connection, KEEP_DAYS)
                await notifications.prune(connection, KEEP_DAYS)
        except Exception as error:
            if not unavailable(error):
                raise
