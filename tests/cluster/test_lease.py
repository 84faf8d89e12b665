"""The lease: who may take it, who may renew it, and what the fence refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dozor.cluster import lease
from dozor.cluster.lease import Holder, Term
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandName, claim, submit
from dozor.errors import Superseded, SupersededError
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.fence import fenced_connection, opening
from dozor.storage.postgres.pool import Pool, connect, create_pool, disconnect
from dozor.storage.postgres.run_fence import RunFence

TTL = 30.0
WRITE = "INSERT INTO dozor.audit (at, source, actor, action, result) VALUES (now(), 'cli', 'x', $1, 'done')"


def holder(name: str = "a") -> Holder:
    return Holder(uuid4(), name, "test", ProcessIdentity.own())


async def expire(pool: Pool) -> None:
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")


async def lead(pool: Pool, who: Holder | None = None) -> Term:
    term = await lease.take(pool, who or holder(), TTL)
    assert term is not None
    return term


async def test_the_first_one_takes_it_and_the_second_does_not(pool: Pool) -> None:
    term = await lead(pool)
    assert await lease.take(pool, holder("b"), TTL) is None
    row = await lease.read(pool)
    assert (row.term, row.name, row.renewals, row.expired, row.ttl) == (term, "a", 0, False, TTL)
    assert await pool.fetchval("SELECT id FROM dozor.runners") == term.epoch


async def test_many_at_once_make_one_leader_and_one_runner_row(pool: Pool) -> None:
    taken = await asyncio.gather(*(lease.take(pool, holder(str(n)), TTL) for n in range(20)))
    assert sum(one is not None for one in taken) == 1
    assert await pool.fetchval("SELECT count(*) FROM dozor.runners") == 1


async def test_an_expired_lease_is_taken_and_its_former_holder_neither_renews_nor_resigns(pool: Pool) -> None:
    first = await lead(pool)
    await expire(pool)
    second = await lead(pool, holder("b"))
    assert second.epoch > first.epoch
    assert not await lease.renew(pool, first, TTL)
    await lease.resign(pool, first)
    row = await lease.read(pool)
    assert row.term == second
    assert not row.expired


async def test_one_that_leads_twice_has_two_epochs(pool: Pool) -> None:
    me = holder()
    first = await lead(pool, me)
    await lease.resign(pool, first)
    second = await lead(pool, me)
    assert second.epoch > first.epoch
    assert second.holder == first.holder
    assert not await lease.renew(pool, first, TTL)


async def test_renewals_count_and_a_resigned_lease_is_not_renewed(pool: Pool) -> None:
    term = await lead(pool)
    assert await lease.renew(pool, term, TTL)
    assert await lease.renew(pool, term, TTL)
    assert (await lease.read(pool)).renewals == 2
    await lease.resign(pool, term)
    assert not await lease.renew(pool, term, TTL)
    assert (await lease.read(pool)).resigned


async def test_a_lease_known_to_be_given_up_is_taken_unless_it_was_renewed_since(pool: Pool) -> None:
    first = await lead(pool)
    seen = await lease.read(pool)
    assert await lease.renew(pool, first, TTL)
    assert await lease.take(pool, holder("b"), TTL, lapsed=seen) is None
    assert await lease.take(pool, holder("b"), TTL, lapsed=await lease.read(pool)) is not None


async def test_a_transaction_of_the_leader_holds_off_a_take_over_which_does_not_wait(
    pool: Pool, database: str
) -> None:
    first = await lead(pool)
    connection = await connect(database)
    async with lease.fenced(connection, first, 10.0):
        assert await lease.renew(pool, first, TTL)  # renewals pass
        await expire(pool)
        async with asyncio.timeout(2):
            assert await lease.take(pool, holder("b"), TTL) is None
    assert await lease.take(pool, holder("b"), TTL) is not None
    await disconnect(connection)


async def test_the_fence_refuses_a_former_leader_and_leaves_the_connection_usable(
    pool: Pool, database: str
) -> None:
    first = await lead(pool)
    await expire(pool)
    await lead(pool, holder("b"))
    connection = await connect(database)
    with pytest.raises(SupersededError):
        async with lease.fenced(connection, first, 10.0):
            pytest.fail("the block must not be entered")
    assert await connection.fetchval("SELECT 1") == 1
    await disconnect(connection)


async def test_on_a_fenced_connection_every_write_is_refused_once_another_leads(
    pool: Pool, database: str
) -> None:
    first = await lead(pool)
    own = await create_pool(database, kind=fenced_connection(first, 10.0))
    await own.execute(WRITE, "alone")
    await own.executemany(WRITE, [("many",)])
    async with own.acquire() as connection, connection.transaction():
        await connection.execute(WRITE, "together")
        async with connection.transaction():
            await connection.execute(WRITE, "nested")
    await own.fetch(f"{WRITE} RETURNING id", "fetch")
    await own.fetchrow(f"{WRITE} RETURNING id", "fetchrow")
    await own.fetchval(f"WITH w AS ({WRITE} RETURNING id) SELECT id FROM w", "fetchval")
    written = await own.fetch("SELECT action FROM dozor.audit")
    assert len(written) == 7
    await expire(pool)
    await lead(pool, holder("b"))
    for write in (
        own.execute(WRITE, "x"),
        own.executemany(WRITE, [("x",)]),
        own.fetch(f"{WRITE} RETURNING id", "x"),
        own.fetchrow(f"{WRITE} RETURNING id", "x"),
        own.fetchval(f"{WRITE} RETURNING id", "x"),
    ):
        with pytest.raises(SupersededError):
            await write
    async with own.acquire() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            assert await connection.fetchval("SELECT count(*) FROM dozor.audit") == 7
        for _ in range(2):  # the refused transaction is not taken for an open one
            with pytest.raises(SupersededError):
                async with connection.transaction():
                    pytest.fail("the block must not be entered")
        assert await connection.fetchval("SELECT count(*) FROM dozor.audit") == 7
    assert await own.fetchval("SELECT count(*) FROM dozor.audit") == 7
    own.terminate()
    await asyncio.sleep(0)


async def test_a_fenced_transaction_that_is_left_alone_is_ended_by_the_server(
    pool: Pool, database: str
) -> None:
    first = await lead(pool)
    connection = await connect(database)
    await connection.execute("BEGIN" + opening(first, 0.3))
    await expire(pool)
    assert await lease.take(pool, holder("b"), TTL) is None
    async with asyncio.timeout(10):
        while await lease.take(pool, holder("b"), TTL) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    connection.terminate()
    await asyncio.sleep(0)


def test_a_process_is_known_dead_only_on_this_machine_and_only_once_it_is() -> None:
    here = ProcessIdentity.own()
    assert not here.known_dead(here)
    with subprocess.Popen(["sleep", "60"]) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        started = int(stat.rpartition(")")[2].split()[19])
        other = replace(here, pid=child.pid, started=started)
        assert not other.known_dead(here)
        assert replace(other, started=started - 1).known_dead(here)  # the pid is used again
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert other.known_dead(here)  # a zombie
    assert other.known_dead(here)
    assert not replace(other, boot_id="of another").known_dead(here)
    assert not replace(other, pid_namespace="pid:[1]").known_dead(here)
    assert not replace(other, boot_id="", pid_namespace="").known_dead(here)


async def test_ctx_fence_on_the_leader_depends_on_the_lease_and_not_on_the_recorded_begin_of_the_run(
    pool: Pool,
) -> None:
    """No row says that the run began: nobody leads while its transaction is open; later ones are refused."""
    first = await lead(pool)
    fence = RunFence(str(first.epoch), str(first.holder), TTL / 2, on_worker=False)
    async with fence.transaction(pool) as connection:
        await connection.execute(WRITE, "of the run")
        await expire(pool)
        assert await lease.take(pool, holder("b"), TTL) is None
    await lead(pool, holder("b"))
    with pytest.raises(Superseded):
        async with fence.transaction(pool) as connection:
            await connection.execute(WRITE, "of a former leader's run")
    assert [row["action"] for row in await pool.fetch("SELECT action FROM dozor.audit")] == ["of the run"]


async def test_a_former_leader_claims_no_command(pool: Pool, database: str) -> None:
    first = await lead(pool)
    former = await connect(database, kind=fenced_connection(first, 5.0))
    async with pool.acquire() as ours, ours.transaction():
        command = await submit(ours, CommandName.RUN_NOW, "t", Actor(Source.CLI, "ann@host", "host"))
    await expire(pool)
    second = await lead(pool, holder("b"))
    present = await connect(database, kind=fenced_connection(second, 5.0))
    try:
        with pytest.raises(SupersededError):
            await claim(former, [command], first.epoch)
        assert await claim(present, [command], second.epoch) == {command}
    finally:
        await disconnect(former)
        await disconnect(present)
