"""Runners without `cluster.enabled`: a waiting one survives lost sessions, and members honour their lock."""

from __future__ import annotations

import asyncio
import signal

from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import runners
from tests.cluster.members import LEADS, Members

OFF = {"enabled": False}
END_WAITING = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'dozor' AND pid <> pg_backend_pid() AND query LIKE '%FROM pg_locks%'
"""


async def test_a_waiting_runner_survives_that_its_sessions_are_ended_and_a_member_waits_for_its_lock(
    members: Members, pool: Pool
) -> None:
    members.write(cluster=OFF)
    first = await members.leader()
    second = members.start("--wait")
    await second.says(f"process {first.pid}")
    for times in (1, 2):
        # The last query of the runner that waits is its look at who holds the lock.
        ended = 0
        async with asyncio.timeout(20):
            while not ended:
                ended = await pool.fetchval(END_WAITING)
                await asyncio.sleep(0.05)
        await second.says("connecting again", times=times)
    assert second.alive
    assert await first.stop() == 0
    await second.says(" is on watch: tasks")

    # A member of a cluster does not lead while a runner holds the lock of its session.
    members.write()
    member = members.start()
    await member.says(f"process {second.pid}")
    assert LEADS not in member.text
    assert await second.stop() == 0
    await member.says(LEADS, within=10)
    await member.says(" is on watch: tasks")
    assert await member.stop() == 0


async def test_a_runner_without_a_cluster_is_refused_while_a_member_leads(
    members: Members, pool: Pool
) -> None:
    members.write()
    member = await members.leader()
    async with pool.acquire() as connection:
        for _ in range(100):
            if await runners.read_holder(connection) is not None:
                break
            await connection.fetchval("SELECT pg_sleep(0.1)")
    members.write(cluster=OFF)
    other = members.start()
    assert await other.ends() == 1
    assert "Another runner works on this database" in other.text
    assert await member.stop() == 0
    last = await members.leader()
    last.signal(signal.SIGTERM)
    assert await last.ends() == 0
