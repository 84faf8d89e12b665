"""A task that two reloads remove and add again: its runs never overlap."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

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
