"""SIGTERM of a leader whose lease session is broken: it resigns in a new one, and nothing hangs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from dozor.storage.postgres.pool import Pool
from tests.cluster.members import LEADS, Members, now

LEASE_SESSION_SQL = """
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND application_name = 'dozor lease' AND datname = current_database()
"""

LEASE = 15.0
"""Seconds. Renewed every third of it, so it does not expire in the first two thirds."""
BREAKS: dict[str, Callable[[int], None]] = {
    "terminated": lambda pid: os.kill(pid, signal.SIGTERM),
    "silent": lambda pid: os.kill(pid, signal.SIGSTOP),
}


async def session_of_the_leader(pool: Pool) -> int:
    """The server's process behind the session in which the leader renews its lease."""
    async with asyncio.timeout(20):
        while (pid := await pool.fetchval(LEASE_SESSION_SQL)) is None:  # noqa: ASYNC110 -- a lock of the database
            await asyncio.sleep(0.05)
    return int(pid)


@pytest.mark.parametrize("how", BREAKS)
async def test_a_leader_whose_lease_session_breaks_at_sigterm_hands_over_within_the_lease(
    members: Members, pool: Pool, how: str
) -> None:
    tasks = {"t": {"run": "spanned:run", "every": "200ms"}, "l": {"run": "spanned:long", "every": "1m"}}
    members.write(tasks, cluster={"enabled": True, "lease_ttl": LEASE})
    # While it lives, nobody can know that it is dead: the standby has to be let lead.
    first = await members.leader("--grace", "20")
    second = await members.standby()
    await members.runs_in(first, within=20)
    await members.runs_in(first, within=20, task="l")
    backend = await session_of_the_leader(pool)
    try:
        BREAKS[how](backend)
        broken = now()
        first.signal(signal.SIGTERM)
        await second.says(LEADS, within=LEASE + 5)
        assert now() - broken < LEASE * 2 / 3, "it waited for the lease to expire"
        assert first.alive
        await members.runs_in(second, within=20)
        assert await first.ends() == 0
    finally:
        if how == "silent":
            os.kill(backend, signal.SIGCONT)
    await members.runs_in(second, within=20, task="l")
    assert members.spans("l")[0].ended is not None
    assert not members.overlaps({})
    assert not members.overlaps({}, task="l")
