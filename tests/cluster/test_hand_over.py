"""SIGTERM of a leader: with a broken lease session, and with a command whose run has not begun."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandName, submit, wait
from dozor.storage.postgres.pool import Pool
from tests.cluster.members import LEADS, Members, now
from tests.waiting import until

LEASE_SESSION_SQL = """
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND application_name = 'dozor lease' AND datname = current_database()
"""

LEASE = 9.0
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
    tasks = {"t": {"run": "spanned:run", "every": "200ms"}, "l": {"run": "spanned:released", "every": "1m"}}
    members.write(tasks, cluster={"enabled": True, "lease_ttl": LEASE})
    # While it lives, nobody can know that it is dead: the standby has to be let lead.
    first = await members.leader("--grace", "60")
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
        assert members.spans("l")[0].ended is None
        members.release()
        assert await first.ends() == 0
    finally:
        if how == "silent":
            os.kill(backend, signal.SIGCONT)
    await members.runs_in(second, within=20, task="l")
    assert members.spans("l")[0].ended is not None
    assert not members.overlaps({})
    assert not members.overlaps({}, task="l")


async def test_a_restart_that_waits_for_a_run_at_sigterm_is_carried_out_by_the_next_leader(
    members: Members, pool: Pool
) -> None:
    """Once, when the run that was handed over has ended: the command was answered, its run had not begun."""
    members.write({"t": {"run": "spanned:released", "every": "1h"}})
    first = await members.leader("--grace", "30")
    second = await members.standby("--grace", "30")
    await members.runs_in(first, within=20)
    async with pool.acquire() as connection, connection.transaction():
        command = await submit(connection, CommandName.RESTART, "t", Actor(Source.CLI, "ann@host", "host"))
    assert (await wait(pool, command, timeout=20.0)).run_number == 2
    first.signal(signal.SIGTERM)
    await second.says(LEADS)
    await second.says(" is on watch: tasks")
    assert len(members.spans()) == 1
    members.release()
    await members.runs_in(second, within=30)
    assert await first.ends() == 0
    await until(lambda: members.spans()[-1].ended is not None, within=20)
    assert len(members.spans()) == 2
    assert not members.overlaps({})
    assert (await wait(pool, command)).ok
