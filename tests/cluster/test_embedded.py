"""A member inside somebody else's application: it leads, stands by, and says when it cannot go on."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import ModuleType
from uuid import uuid4

import pytest

from dozor import Runner
from dozor.cluster import leadership, lease
from dozor.cluster.lease import Holder
from dozor.config.values.roles import Role
from dozor.errors import LeaseLostError
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.pool import Pool
from dozor.supervision import supervisor
from tests.cluster.members import TTL, Members
from tests.waiting import until

STUBBORN = """
import asyncio

release = asyncio.Event()
running = False
cancelled = 0


async def run():
    global running, cancelled
    running = True
    while not release.is_set():
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled += 1
    running = False
"""
"""A run that ends when the test says so, whoever cancels it."""
CANCEL_TIME = 1.0
"""Seconds that a cancelled run gets here."""


@pytest.fixture
def stubborn(members: Members, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the checker, which this process imports. No run of it outlives the test."""
    (members.folder / "embedded_stubborn.py").write_text(STUBBORN)
    monkeypatch.syspath_prepend(str(members.folder))
    yield importlib.import_module("embedded_stubborn")
    del sys.modules["embedded_stubborn"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost lease is noticed sooner, and nothing waits longer than necessary for a run that goes on."""
    monkeypatch.setattr(supervisor, "CANCEL_SECONDS", CANCEL_TIME)
    monkeypatch.setattr(leadership, "RENEWALS", 20)


@pytest.fixture(autouse=True)
def _fresh_spanned() -> None:
    """This process imports `spanned` as well; it writes into the folder that it was imported from."""
    sys.modules.pop("spanned", None)


@asynccontextmanager
async def leading(members: Members, module: ModuleType | None = None) -> AsyncIterator[Runner]:
    """An embedded runner that leads, and of `module` a run in progress. The run may end when this does.

    Without that the loop of the test would wait for it: asyncio.Runner cancels what is left and waits.
    """
    try:
        async with Runner.from_config(members.config, grace=0.1) as runner:
            await until(lambda: runner.leads, within=30.0)
            if module is not None:
                await until(lambda: bool(module.running))
            yield runner
    finally:
        if module is not None:
            module.release.set()
            await until(lambda: not module.running)


async def take_over(pool: Pool) -> None:
    """Another replica takes the lease, whatever the present leader thinks of it."""
    other = Holder(uuid4(), "other", "0", ProcessIdentity.own())
    async with asyncio.timeout(10):
        while True:
            async with pool.acquire() as connection:
                row = await lease.read(connection)
                if await lease.take(connection, other, 60.0, lapsed=row) is not None:
                    return


async def test_it_leads_and_hands_over(members: Members, pool: Pool) -> None:
    members.write()
    async with leading(members):
        await until(lambda: len(members.spans()) > 1)
    row = await lease.read(pool)
    assert row.resigned
    assert await pool.fetchval("SELECT clean FROM dozor.runners WHERE id = $1", row.term.epoch)
    assert await pool.fetchval("SELECT count(*) FROM dozor.replicas") == 0


async def test_after_a_leader_that_died_it_holds_runs_in_child_processes_back(
    members: Members, pool: Pool
) -> None:
    members.write({"t": {"run": "spanned:run", "every": "100ms"}})
    own = ProcessIdentity.own()
    dead = Holder(uuid4(), "dead", "0", replace(own, started=own.started - 1))
    assert await lease.take(pool, dead, 200.0) is not None
    async with leading(members) as runner:
        await until(lambda: len(members.spans()) > 1)
        part = runner._present
        assert part is not None
        assert part._term is not None
        held = part._term.held
        assert held.look_again_at("t", 0.0, in_process=False) is None
        assert held.look_again_at("t", 0.0, in_process=True) is not None


async def test_waiting_for_a_failure_with_a_limit_makes_no_end_unclean(members: Members, pool: Pool) -> None:
    """`asyncio.wait_for` cancels the future that it waits for."""
    members.write()
    async with leading(members) as runner:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.failed, 0.05)
        assert runner.failed.cancelled()
        await until(lambda: runner.readiness().ready)
    assert await pool.fetchval("SELECT bool_and(clean) FROM dozor.runners")


async def test_entering_does_not_wait_for_the_leader_and_a_standby_is_ready(members: Members) -> None:
    members.write()
    first = await members.leader()
    began = asyncio.get_running_loop().time()
    async with Runner.from_config(members.config) as runner:
        print(f"entered in {asyncio.get_running_loop().time() - began:.2f} s")
        assert not runner.leads
        await until(lambda: runner.readiness().ready)
        assert not runner.leads
        first.kill()
        await until(lambda: runner.leads, within=TTL + 5.0)
        await until(lambda: runner.readiness().ready)
        assert runner.readiness().reasons == ()


async def test_a_worker_is_ready_while_the_database_answers(members: Members) -> None:
    members.write()
    async with Runner.from_config(members.config, role=Role.WORKER) as runner:
        await until(lambda: runner.readiness().ready)
        assert not runner.leads


async def test_a_run_that_does_not_end_with_the_lease_fails_the_runner(
    members: Members, pool: Pool, stubborn: ModuleType
) -> None:
    """Its application is not ended by a timer, so it has to be told; leaving it does not hang."""
    members.write({"s": {"run": "embedded_stubborn:run", "every": "1h", "run_at_start": True}})
    async with leading(members, stubborn) as runner:
        await take_over(pool)
        async with asyncio.timeout(TTL + CANCEL_TIME + 5.0):
            await asyncio.wait((runner.failed,))
        assert isinstance(runner.failed.result(), LeaseLostError)
        assert not runner.leads
        assert runner.readiness().reasons == (f"cluster: {runner.failed.result()}",)
        assert stubborn.cancelled
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5.0
    assert runner.unstopped == ("s",)


async def test_runs_that_end_with_the_lease_leave_a_standby(members: Members, pool: Pool) -> None:
    members.write({"t": {"run": "spanned:long", "every": "1h", "run_at_start": True}})
    async with leading(members) as runner:
        await until(lambda: bool(members.spans()))
        await take_over(pool)
        await until(lambda: not runner.leads, within=TTL + 5.0)
        await until(lambda: members.spans()[0].ended is not None, within=TTL)
        await until(lambda: runner.readiness().ready)
        assert not runner.failed.done()


@pytest.mark.parametrize("running", [True, False], ids=["in progress", "nothing in progress"])
async def test_a_loop_blocked_beyond_the_lease(members: Members, *, running: bool) -> None:
    """In a process of its own the timer ends it. Here the runner fails, if a run went on meanwhile."""
    task = {"run": "spanned:long", "every": "1h", "run_at_start": True}
    idle = {"run": "spanned:run", "cron": "0 0 1 1 *", "misfire": "skip"}
    members.write({"t": task if running else idle})
    async with leading(members) as runner:
        if running:
            await until(lambda: bool(members.spans()))
        time.sleep(TTL)  # noqa: ASYNC251, TID251 -- the fault itself
        if running:
            async with asyncio.timeout(CANCEL_TIME + 5.0):
                await asyncio.wait((runner.failed,))
            assert isinstance(runner.failed.result(), LeaseLostError)
            assert not runner.leads
        else:
            await until(lambda: not runner.leads)
            await until(lambda: runner.leads, within=TTL + 5.0)
            assert not runner.failed.done()
    if running:
        assert members.spans()[0].ended is not None


async def test_a_run_that_blocks_the_loop_beyond_the_lease_fails_the_runner(members: Members) -> None:
    """It has ended by the time that anything can be noticed."""
    (members.folder / "embedded_blocking.py").write_text(
        f"import time\n\n\nasync def run():\n    time.sleep({TTL})\n"
    )
    members.write({"b": {"run": "embedded_blocking:run", "every": "1h", "run_at_start": True}})
    async with Runner.from_config(members.config, grace=0.1) as runner:
        async with asyncio.timeout(TTL + 30.0):
            await asyncio.wait((runner.failed,))
        assert isinstance(runner.failed.result(), LeaseLostError)
        assert not runner.leads
