"""A start by command waits for the end of a run of the former leader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dozor.clock import SteadyClock
from dozor.cluster.handover import HeldStarts
from dozor.cluster.trust_window import TrustWindow
from dozor.config.sections.tasks import Every
from dozor.config.values.choices import Isolation
from dozor.control.commands.run_tracker import RunTracker
from dozor.storage.journal import Journal, StateSource
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import tasks
from dozor.storage.tables.tasks import TaskDeclaration
from dozor.supervision.core.events import Pause, RunNow
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog
from tests.supervision.stage import Seen, spec, state_of
from tests.waiting import until

LATER = time.time() + 86_400.0


class Handover:
    """Tasks whose run of a former leader is in progress. `asked`: how often it was asked of one of them."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.asked = 0

    def look_again_at(self, task: str, now: float, *, in_process: bool) -> float | None:
        if task not in self.names:
            return None
        self.asked += 1
        return now + 0.02


class Runs:
    def __init__(self) -> None:
        self.begun = 0

    async def check(self) -> None:
        self.begun += 1


@asynccontextmanager
async def leading(database: str, runs: Runs, held: Handover) -> AsyncIterator[tuple[Supervisor, Journal]]:
    """A leader whose task `t` runs when somebody says so."""
    journal = await Journal.open(database, "test", SteadyClock())
    declared = TaskDeclaration(name="t", description="", schedule="", max_consecutive_failures=None)
    await tasks.declare(journal.connection, [declared])
    supervisor = Supervisor(
        [spec("t", runs.check, run_at_start=False, schedule=Every(86_400.0))],
        observer=Seen(),
        clock=SteadyClock(),
        log=SupervisionLog(),
        generation=journal.registration.runner_id,
        stored={"t": TaskState(State.WAITING, next_at=LATER, due_at=LATER)},
        commits=journal,
        held=held,
    )
    source = StateSource(take_checkpoint=supervisor.take_checkpoint)
    supervisor.start()
    writing = asyncio.create_task(journal.run(source))
    try:
        yield supervisor, journal
    finally:
        await supervisor.stop()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await journal.close(source)


@pytest.mark.parametrize("paused", [False, True], ids=["waiting", "paused"])
async def test_a_start_by_command_waits_for_the_run_of_the_former_leader(
    database: str, *, paused: bool
) -> None:
    runs, held = Runs(), Handover("t")
    async with leading(database, runs, held) as (supervisor, _):
        if paused:
            supervisor.command("t", Pause("test"))
        supervisor.command("t", RunNow("test"))
        await until(lambda: held.asked >= 5)
        assert runs.begun == 0
        held.names.clear()
        await until(lambda: runs.begun == 1)
        expected = State.PAUSED if paused else State.WAITING
        await until(lambda: state_of(supervisor, "t").running_since is None)
        assert state_of(supervisor, "t").state is expected
        assert state_of(supervisor, "t").runs_total == 1


async def test_how_a_run_ended_that_waited_for_another_one_reaches_who_asked(
    database: str, pool: Pool
) -> None:
    runs, held = Runs(), Handover("t")
    async with leading(database, runs, held) as (supervisor, _):
        command = await pool.fetchval(
            "INSERT INTO dozor.commands (name, task, actor, state, expires_at, run_number) "
            "VALUES ('run-now', 't', 'cli:x', 'done', now() + interval '1 minute', 1) RETURNING id"
        )
        supervisor.command("t", RunNow("test"))
        task = supervisor.find("t")
        assert task is not None
        assert RunTracker(pool).follow(command, task) == 1
        assert runs.begun == 0
        held.names.clear()

        async def outcome() -> str | None:
            row = await pool.fetchrow("SELECT run_outcome FROM dozor.commands WHERE id = $1", command)
            return None if row is None else row["run_outcome"]

        async with asyncio.timeout(10):
            while await outcome() != "succeeded":  # noqa: ASYNC110 -- a row of the database
                await asyncio.sleep(0.02)
        assert runs.begun == 1


async def test_runs_in_child_processes_wait_for_those_of_a_leader_that_died() -> None:
    window, runs = TrustWindow(600.0), Runs()
    window.extend(window.now())
    supervisor = Supervisor(
        [spec("inline", runs.check), spec("isolated", runs.check, isolation=Isolation.PROCESS)],
        observer=Seen(),
        clock=SteadyClock(),
        log=SupervisionLog(),
        generation=1,
        held=HeldStarts(window, children_until=window.now() + 600.0),
    )
    supervisor.start()
    try:
        await until(lambda: state_of(supervisor, "inline").runs_total >= 3)
        assert state_of(supervisor, "isolated").started_at is None
    finally:
        await supervisor.stop()
