"""A client that is cut off in the middle of a transaction keeps nothing locked for longer than the lease."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from dozor.storage.postgres.fence import Fence, Term, limited_connection
from dozor.storage.postgres.pool import Pool, connect
from tests.cluster.test_named_faults import taken_by_another

LIMIT = 1.0


async def cut_off_before_it_executes(connection: asyncpg.Connection, statement: str) -> None:
    """As far as a statement gets whose client is cut off: prepared with Flush, and never executed."""
    await connection._get_statement(statement, None, named=False, use_cache=False)


async def free_after(pool: Pool, statement: str) -> float:
    """Seconds until `statement`, which skips locked rows, gives one."""
    began = time.monotonic()
    async with asyncio.timeout(10 * LIMIT):
        while not await pool.fetch(statement):  # noqa: ASYNC110 -- a lock of the database
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def kind(pool: Pool, fenced: str) -> tuple[type[asyncpg.Connection], str]:
    if fenced == "worker":
        return limited_connection(LIMIT), "SELECT FROM dozor.lease FOR UPDATE"
    term: Term = await taken_by_another(pool)
    return Fence(term, LIMIT).connection, "SELECT 1"


@pytest.mark.parametrize("of", ["leader", "worker"])
@pytest.mark.parametrize("cut", ["between statements", "between preparing and executing"])
async def test_its_locks_are_let_go(pool: Pool, database: str, of: str, cut: str) -> None:
    version = await pool.fetchval("SELECT current_setting('server_version_num')::int")
    if version < 170_000 and cut != "between statements":
        pytest.skip("PostgreSQL before 17 has no limit for a whole transaction")
    made, locking = await kind(pool, of)
    connection = await connect(database, kind=made, statement_cache=False)
    try:
        await connection.transaction().start()
        await connection.execute(locking)
        skipping = "SELECT FROM dozor.lease FOR UPDATE SKIP LOCKED"
        assert not await pool.fetch(skipping)
        if cut != "between statements":
            await cut_off_before_it_executes(connection, "SELECT 1 WHERE $1")
        assert await free_after(pool, skipping) < 3 * LIMIT + 1.0
    finally:
        connection.terminate()
