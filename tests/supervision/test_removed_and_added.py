"""A task that two reloads remove and add again: its runs never overlap."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from dozor import Context
from dozor.app.member import ran_since
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Every
from dozor.supervision.core.events import Pause, RunNow
from dozor.supervision.tasks.registry import TaskRegistry
from tests.supervision.stage import spec, state_of, supervising
from tests.waiting import until


class Payout:
    """Its runs ignore their cancellation until `over` is set."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.begun = self.present = self.most = 0

    async def run(self) -> None:
        self.begun += 1
        self.present += 1
        self.most = max(self.most, self.present)
        while not self.over.is_set():
            with suppress(asyncio.CancelledError):
                await self.over.wait()
        self.present -= 1


@pytest.mark.parametrize("paused", [False, True])
async def test_the_new_one_starts_when_the_run_of_the_old_one_has_ended(
    paused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    is_leaving = TaskRegistry.is_leaving

    def counted(registry: TaskRegistry, name: str) -> bool:
        looks.append(name)
        return is_leaving(registry, name)

    monkeypatch.setattr(TaskRegistry, "is_leaving", counted)
    payout = Payout()
    other = asyncio.Event()

    async def beside() -> None:
        other.set()

    pays = spec("pays", payout.run, schedule=Every(0.05))
    async with supervising(pays, spec("beside", beside, schedule=Every(0.05))) as (supervisor, _):
        await until(lambda: payout.begun == 1)
        for _ in range(2):  # removed twice: the run in progress is still that of the first
            supervisor.task_changes.remove("pays")
            supervisor.task_changes.add(pays, None, SteadyClock().now())
            supervisor.plan_anew()
        if paused:
            supervisor.command("pays", Pause("ann"))
            supervisor.command("pays", RunNow("ann"))
        try:
            for _ in range(4):  # others go on meanwhile
                other.clear()
                await asyncio.wait_for(other.wait(), 10)
            looks.clear()
            await until(lambda: looks.count("pays") >= 3)
            assert payout.begun == 1
        finally:
            payout.over.set()
        await until(lambda: payout.begun >= 2)
        assert payout.most == 1
        assert state_of(supervisor, "pays").failures == 0


async def test_a_run_of_a_removed_task_gets_its_grace_at_the_end_of_the_runner() -> None:
    over, results = asyncio.Event(), list[str]()

    async def pays(ctx: Context) -> None:
        results.append("begun")
        await ctx.stopping.wait()
        await over.wait()
        results.append("done")

    async with supervising(spec("pays", pays, schedule=Every(60.0))) as (supervisor, _):
        await until(lambda: results == ["begun"])
        supervisor.task_changes.remove("pays")
        ending = asyncio.create_task(supervisor.stop(30.0))
        await asyncio.sleep(0)
        assert not ending.done()
        over.set()
        assert await asyncio.wait_for(ending, 10) == ()
    assert results == ["begun", "done"]


async def test_a_run_of_a_removed_task_is_cancelled_when_the_grace_is_over() -> None:
    results: list[str] = []

    async def pays() -> None:
        results.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            results.append("cancelled")

    async with supervising(spec("pays", pays, schedule=Every(60.0))) as (supervisor, _):
        await until(lambda: results == ["begun"])
        supervisor.task_changes.remove("pays")
        assert await supervisor.stop(0.0) == ()
        assert results == ["begun", "cancelled"]


async def test_a_run_of_a_removed_task_that_would_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor.supervision.supervisor.CANCEL_SECONDS", 0.1)
    payout = Payout()
    async with supervising(spec("pays", payout.run, schedule=Every(60.0))) as (supervisor, _):
        await until(lambda: payout.begun == 1)
        supervisor.task_changes.remove("pays")
        assert ran_since(supervisor, SteadyClock().now())
        assert await supervisor.stop(0.0) == ("pays",)
        payout.over.set()
        await until(lambda: payout.present == 0)
        assert not supervisor.registry.in_runs


async def test_a_task_that_a_reload_has_added_counts_among_those_that_ran_lately() -> None:
    begun = asyncio.Event()

    async def pays() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with supervising(spec("idle", pays, schedule=Every(60.0), run_at_start=False)) as (supervisor, _):
        assert not ran_since(supervisor, SteadyClock().now())
        supervisor.task_changes.add(spec("pays", pays, schedule=Every(60.0)), None, SteadyClock().now())
        supervisor.plan_anew()
        await asyncio.wait_for(begun.wait(), 10)
        assert ran_since(supervisor, SteadyClock().now())
