"""Deletes rows that are older than their retention, a batch at a time."""

from __future__ import annotations

import asyncio

from dozor.storage.postgres.pool import Pool, unavailable
from dozor.storage.tables import incidents, notifications, runners, runs
from dozor.storage.tables import live_messages as living

EVERY = 600.0
"""Seconds."""
KEEP_DAYS = 90
AUDIT_DAYS = 365

PRUNE_AUDIT_SQL = """
DELETE FROM dozor.audit WHERE id IN (
    SELECT id FROM dozor.audit WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT 10000)
"""


async def run_pruner(pool: Pool) -> None:
    """Once every `EVERY` seconds; an outage is sat out."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            await prune(pool)
        except Exception as error:
            if not unavailable(error):
                raise


async def prune(pool: Pool) -> None:
    """Delete history, messages, incidents and runners over for `KEEP_DAYS`, the audit after `AUDIT_DAYS`."""
    async with pool.acquire() as connection:
        await runs.prune(connection, KEEP_DAYS)
        await notifications.prune(connection, KEEP_DAYS)
        await living.prune(connection)
        await incidents.prune(connection, KEEP_DAYS)
        await runners.prune(connection, KEEP_DAYS)
        await connection.execute(PRUNE_AUDIT_SQL, AUDIT_DAYS)
