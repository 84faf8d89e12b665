"""A member inside somebody else's application."""

from __future__ import annotations

from dozor import Runner
from dozor.cluster import lease
from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.waiting import until


async def test_it_leads_and_hands_over(members: Members, pool: Pool) -> None:
    members.write()
    async with Runner.from_config(members.config) as runner:
        await until(lambda: runner.leads)
        await until(lambda: len(members.spans()) > 1)
    row = await lease.read(pool)
    assert row.resigned
    assert await pool.fetchval("SELECT clean FROM dozor.runners WHERE id = $1", row.term.epoch)
    assert await pool.fetchval("SELECT count(*) FROM dozor.replicas") == 0
