"""A command starts one run at most, wherever the database or the leader is lost.

Named places: before the claim of the command is committed, in that commit with an unknown outcome, after it
(before the result, during the run, after the run); with the same leader afterwards, and with another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Any

import pytest

from dozor.app.leading.recovery import read_recovered
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import TaskConfig
from dozor.config.values.schedules import Every
from dozor.control.commands import executor
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import (
    CLAIM_SQL,
    PENDING_SQL,
    CommandName,
    CommandReason,
    claim,
    submit,
    wait,
)
from dozor.control.commands.executor import CommandExecutor
from dozor.errors import DatabaseUnavailableError
from dozor.storage.journal import Journal, StateSource
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import runners
from dozor.supervision.core.events import Pause
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog
from tests.supervision.stage import Seen, spec, state_of
from tests.waiting import until

DAY = 86_400.0
PERSON = Actor(Source.CLI, "ann@host", "host")
TASKS = [TaskConfig(name="t", run="checks:check", every=DAY)]


class Fault(Enum):
    """What befalls the executor's session."""

    BEFORE_THE_CLAIM = auto()
    IN_THE_COMMIT_OF_THE_CLAIM = auto()
    """It is committed, and the answer is lost."""
    AFTER_THE_CLAIM = auto()
    """The next reading of the table fails."""


class FaultyPool:
    """`pool`, with a fault the next time that the executor comes to it, of which `journal.health` learns."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.fault: Fault | None = None
        self.struck = 0
        self.rounds = 0
        """How often the table of commands was read, or tried to."""
        self.journal: Journal | None = None
        self.killed = False

    async def execute(self, query: str, *args: object) -> Any:
        if self.killed:
            raise DatabaseUnavailableError("its process was killed")
        return await self._pool.execute(query, *args)

    @asynccontextmanager
    async def acquire(self, timeout: float | None = None) -> AsyncIterator[Any]:
        async with self._pool.acquire(timeout=timeout) as self._connection:
            yield self

    async def fetch(self, query: str, *args: object) -> Any:
        self.rounds += query == PENDING_SQL
        if query == PENDING_SQL and self.fault is Fault.AFTER_THE_CLAIM and self.struck == 1:
            self._strike()
        if query == CLAIM_SQL:
            if self.fault is Fault.BEFORE_THE_CLAIM and self.struck == 0:
                self._strike()
            rows = await self._connection.fetch(query, *args)
            if self.fault is Fault.IN_THE_COMMIT_OF_THE_CLAIM and self.struck == 0:
                self._strike()
            self.struck += self.fault is Fault.AFTER_THE_CLAIM
            return rows
        return await self._connection.fetch(query, *args)

    def _strike(self) -> None:
        self.struck += 1
        if self.journal is not None:
            self.journal.health.report_down("of the test")
        raise DatabaseUnavailableError("of the test")


class Runs:
    """Of the task `t`. A run lasts while `lasting` is set."""

    def __init__(self) -> None:
        self.begun = 0
        self.over = asyncio.Event()
        self.over.set()
        self.stubborn = False
        """Whether a run goes on although it is cancelled."""

    async def check(self) -> None:
        self.begun += 1
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise


class Leader:
    """A leader of one process of the test; `kill` ends it as SIGKILL would, without writing anything."""

    def __init__(self, journal: Journal, pool: FaultyPool, supervisor: Supervisor) -> None:
        self.may_act = True
        self.journal, self.pool, self.supervisor = journal, pool, supervisor
        self.executor = CommandExecutor(
            pool, journal, supervisor, SteadyClock(), frozenset(), may_act=lambda: self.may_act
        )
        self._source = StateSource(take_checkpoint=supervisor.take_checkpoint)
        self._writing = asyncio.create_task(journal.run(self._source))
        self._executing = asyncio.create_task(self.executor.run())

    @classmethod
    async def begin(cls, database: str, pool: Pool, runs: Runs, **rules: Any) -> Leader:
        journal = await Journal.open(database, "test", SteadyClock(), wait=True)
        given: dict[str, Any] = {"run_at_start": False, "schedule": Every(DAY)} | rules
        specs: list[TaskSpec] = [spec("t", runs.check, **given)]
        number = journal.registration.runner_id
        before = journal.registration.before
        clean = before is not None and before.clean
        recovered = await read_recovered(journal.connection, TASKS, specs, number, time.time(), clean=clean)
        supervisor = Supervisor(
            specs,
            observer=Seen(),
            clock=SteadyClock(),
            log=SupervisionLog(),
            generation=number,
            stored=recovered.states,
            commits=journal,
        )
        journal.health.subscribe(lambda up: supervisor.dependency_changed(up=up))
        faulty = FaultyPool(pool)
        faulty.journal = journal
        supervisor.start()
        return cls(journal, faulty, supervisor)

    async def round(self) -> None:
        """Until the table of commands was read twice more."""
        before = self.pool.rounds
        while self.pool.rounds < before + 2:
            self.executor.wake()
            await asyncio.sleep(0.01)

    async def end_cleanly(self) -> None:
        """As at SIGTERM, while its run goes on."""
        await self.supervisor.ask_to_end(0.0)
        while await self.journal.write(self._source):
            pass
        await runners.end(self.journal.connection, self.journal.registration.runner_id, clean=True)

    async def kill(self) -> None:
        self.pool.killed = True
        self._writing.cancel()
        self._executing.cancel()
        await asyncio.gather(self._writing, self._executing, return_exceptions=True)
        self.journal.abandon()
        await self.supervisor.stop(0.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No LISTEN wakes these executors: they find a command by their next look at the table."""
    monkeypatch.setattr(executor, "POLL_EVERY", 0.05)


@pytest.fixture
async def runs() -> Runs:
    return Runs()


@pytest.fixture
async def leader(database: str, pool: Pool, runs: Runs) -> AsyncIterator[Leader]:
    """One whose task has run once, as its schedule says."""
    leader = await Leader.begin(database, pool, runs)
    await until(lambda: runs.begun == 1 and state_of(leader.supervisor, "t").running_since is None)
    await leader.journal.flush()
    runs.begun = 0
    try:
        yield leader
    finally:
        runs.over.set()
        await leader.kill()


async def ask(pool: Pool, name: CommandName) -> int:
    async with pool.acquire() as connection, connection.transaction():
        return await submit(connection, name, "t", PERSON)


async def told(pool: Pool, command: int) -> tuple[str | None, str | None]:
    """The result of the command and the outcome of its run, once there is a result."""
    result = await wait(pool, command)
    return result.reason.value, await pool.fetchval(
        "SELECT run_outcome FROM dozor.commands WHERE id = $1", command
    )


def paused(leader: Leader) -> None:
    leader.supervisor.command("t", Pause("test"))


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", [CommandName.RUN_NOW, CommandName.RESTART])
async def test_the_same_leader_goes_on(
    leader: Leader, pool: Pool, runs: Runs, fault: Fault, name: CommandName
) -> None:
    """Of a task in a pause too: what a person starts there is not held by the pause."""
    async with leader.journal._writer:  # nothing is written meanwhile: the command stays pending
        leader.pool.fault = fault
        command = await ask(pool, name)
        await until(lambda: leader.pool.struck >= (2 if fault is Fault.AFTER_THE_CLAIM else 1))
        if fault is not Fault.AFTER_THE_CLAIM:
            assert runs.begun == 0
        await leader.round()
    assert (await told(pool, command))[0] == "done"
    await until(lambda: state_of(leader.supervisor, "t").runs_total == 2)
    await leader.round()
    assert runs.begun == 1


@pytest.mark.parametrize("fault", [Fault.BEFORE_THE_CLAIM, Fault.IN_THE_COMMIT_OF_THE_CLAIM])
async def test_a_paused_task_is_started_once_as_well(
    leader: Leader, pool: Pool, runs: Runs, fault: Fault
) -> None:
    paused(leader)
    leader.pool.fault = fault
    async with leader.journal._writer:
        command = await ask(pool, CommandName.RUN_NOW)
        await until(lambda: leader.pool.struck == 1)
        assert runs.begun == 0
        await leader.round()
    assert (await told(pool, command))[0] == "done"
    assert runs.begun == 1
    assert state_of(leader.supervisor, "t").state is State.PAUSED


async def test_before_the_claim_the_next_leader_carries_it_out(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    leader.pool.fault = Fault.BEFORE_THE_CLAIM
    async with leader.journal._writer:
        command = await ask(pool, CommandName.RUN_NOW)
        await until(lambda: leader.pool.struck == 1)
        await leader.kill()
    assert runs.begun == 0
    following = await Leader.begin(database, pool, runs)
    try:
        assert (await told(pool, command))[0] == "done"
        await until(lambda: runs.begun == 1)
    finally:
        await following.kill()


@pytest.mark.parametrize("name", [CommandName.RUN_NOW, CommandName.RESTART, CommandName.RESUME])
@pytest.mark.parametrize("fault", [None, Fault.IN_THE_COMMIT_OF_THE_CLAIM])
async def test_between_claim_and_result_the_next_leader_says_that_it_is_not_confirmed(
    leader: Leader, database: str, pool: Pool, runs: Runs, fault: Fault | None, name: CommandName
) -> None:
    if name is CommandName.RESUME:
        paused(leader)
        await leader.journal.flush()
    leader.pool.fault = fault
    async with leader.journal._writer:
        command = await ask(pool, name)
        if fault is None:
            runs.over.clear()
            await until(lambda: runs.begun == 1)
        else:
            await until(lambda: leader.pool.struck == 1)
        await leader.kill()
    runs.over.set()
    begun = runs.begun
    following = await Leader.begin(database, pool, runs)
    try:
        assert await told(pool, command) == ("unconfirmed", None)
        await following.round()
        assert runs.begun == begun
        again = await ask(pool, CommandName.RUN_NOW)
        assert (await told(pool, again))[0] == "done"
        await until(lambda: runs.begun == begun + 1)
    finally:
        await following.kill()


@pytest.mark.parametrize("name", [CommandName.RUN_NOW, CommandName.RESTART])
@pytest.mark.parametrize("ended", [False, True], ids=["during the run", "after its end"])
async def test_after_the_result_the_next_leader_does_not_start_it_again(
    leader: Leader, database: str, pool: Pool, runs: Runs, name: CommandName, *, ended: bool
) -> None:
    """A run that its schedule has started is due again at once. How this one ended is told as lost."""
    runs.over.clear()
    command = await ask(pool, name)
    assert (await told(pool, command))[0] == "done"
    await until(lambda: runs.begun == 1)
    async with leader.journal._writer:  # the end of the run is not written
        if ended:
            runs.over.set()
            await until(lambda: state_of(leader.supervisor, "t").running_since is None)
            async with asyncio.timeout(10):
                while (await told(pool, command))[1] is None:  # noqa: ASYNC110 -- a row of the database
                    await asyncio.sleep(0.01)
        began = state_of(leader.supervisor, "t").started_at
        await leader.kill()
    following = await Leader.begin(database, pool, runs)
    try:
        await following.round()
        state = state_of(following.supervisor, "t")
        assert runs.begun == 1
        assert (await told(pool, command))[1] == ("succeeded" if ended else "lost")
        assert began is not None
        assert state.state is State.WAITING
        assert state.next_at == pytest.approx(began + DAY, abs=1.0)
        assert await pool.fetchval("SELECT outcome FROM dozor.runs WHERE id LIKE '%lost-t'") == "lost"
    finally:
        await following.kill()


async def test_a_restart_that_waits_for_the_end_of_a_run(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    """The leader is lost when the restarted run has begun and nothing of it is written."""
    runs.over.clear()
    await ask(pool, CommandName.RUN_NOW)
    await until(lambda: runs.begun == 1)
    command = await ask(pool, CommandName.RESTART)
    assert (await told(pool, command))[0] == "done"
    async with leader.journal._writer:
        runs.over.set()
        await until(lambda: runs.begun == 2)
        await leader.kill()
    following = await Leader.begin(database, pool, runs)
    try:
        await following.round()
        assert runs.begun == 2
        assert await told(pool, command) == ("unconfirmed", None)
        assert state_of(following.supervisor, "t").runs_total == 3
    finally:
        await following.kill()


async def test_a_restart_whose_run_has_not_begun_when_the_leader_is_lost_is_not_confirmed(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    """Nobody can know: the same is in the database if it has. The person may give it again."""
    runs.over.clear()
    await ask(pool, CommandName.RUN_NOW)
    await until(lambda: runs.begun == 1)
    runs.stubborn = True
    command = await ask(pool, CommandName.RESTART)
    assert (await told(pool, command))[0] == "done"
    await leader.journal.flush()
    runs.stubborn = False
    await leader.kill()
    assert runs.begun == 1
    runs.over.set()
    following = await Leader.begin(database, pool, runs)
    try:
        assert await told(pool, command) == ("unconfirmed", None)
        await following.round()
        assert runs.begun == 1
        again = await ask(pool, CommandName.RUN_NOW)
        assert (await told(pool, again))[0] == "done"
        await until(lambda: runs.begun == 2)
    finally:
        await following.kill()


async def test_a_restart_that_waits_when_the_leader_ends_cleanly_is_carried_out_by_the_next_one(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    """All is written then, so its run has not begun: the run that is in progress is handed over."""
    runs.over.clear()
    await ask(pool, CommandName.RUN_NOW)
    await until(lambda: runs.begun == 1)
    runs.stubborn = True
    command = await ask(pool, CommandName.RESTART)
    assert (await told(pool, command))[0] == "done"
    await leader.end_cleanly()
    runs.stubborn = False
    await leader.kill()
    runs.over.set()
    following = await Leader.begin(database, pool, runs)
    try:
        await until(lambda: runs.begun == 2)
        await following.round()
        assert runs.begun == 2
        assert (await told(pool, command))[0] == "done"
    finally:
        await following.kill()


async def test_a_start_that_a_pause_has_called_off_is_no_interrupted_run_later(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    """The next run gets the number of the one that never began; it is due again at once when it is lost."""
    runs.over.clear()
    await ask(pool, CommandName.RUN_NOW)
    await until(lambda: runs.begun == 1)
    runs.stubborn = True
    command = await ask(pool, CommandName.RESTART)
    assert (await told(pool, command))[0] == "done"
    assert (await told(pool, await ask(pool, CommandName.PAUSE)))[0] == "done"
    runs.over.set()
    async with asyncio.timeout(10):
        while (await told(pool, command))[1] is None:  # noqa: ASYNC110 -- a row of the database
            await asyncio.sleep(0.01)
    assert await told(pool, command) == ("done", "cancelled")
    runs.stubborn, before = False, runs.begun
    runs.over.clear()
    number = await pool.fetchval("SELECT run_number FROM dozor.commands WHERE id = $1", command)
    async with leader.journal._writer:
        await pool.execute(
            "UPDATE dozor.tasks SET state = 'running', running_since = now(), runs_total = $1", number
        )
        await leader.kill()
    following = await Leader.begin(database, pool, runs)
    try:
        await until(lambda: runs.begun == before + 1)
    finally:
        runs.over.set()
        await following.kill()


async def test_a_run_of_the_schedule_that_is_lost_is_due_again(
    leader: Leader, database: str, pool: Pool, runs: Runs
) -> None:
    """One that no command has started: nothing has changed for it."""
    runs.over.clear()
    async with leader.journal._writer:  # what the leader writes at its start does not come after this
        await pool.execute("UPDATE dozor.tasks SET state = 'running', running_since = now() WHERE name = 't'")
        await leader.kill()
    following = await Leader.begin(database, pool, runs)
    try:
        await until(lambda: runs.begun == 1)
    finally:
        runs.over.set()
        await following.kill()


async def test_a_leader_outside_its_window_leaves_commands_to_the_next_one(
    leader: Leader, pool: Pool, runs: Runs
) -> None:
    leader.may_act = False
    command = await ask(pool, CommandName.RUN_NOW)
    before = leader.executor.last_progress_at
    leader.executor.wake()
    await until(lambda: leader.executor.last_progress_at > before)
    row = await pool.fetchrow("SELECT state, result FROM dozor.commands WHERE id = $1", command)
    assert (row["state"], row["result"], runs.begun) == ("pending", None, 0)
    leader.may_act = True
    assert (await told(pool, command))[0] == "done"
    await until(lambda: runs.begun == 1)


async def test_a_claimed_command_cannot_be_withdrawn_or_claimed_by_another(pool: Pool) -> None:
    command = await ask(pool, CommandName.RUN_NOW)
    async with pool.acquire() as connection:
        assert await claim(connection, [command], 7) == {command}
        assert await claim(connection, [command], 7) == {command}
        assert await claim(connection, [command], 8) == frozenset()
    assert (await wait(pool, command, timeout=0.0)).reason is CommandReason.TIMEOUT
