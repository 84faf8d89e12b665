"""A leader's side of pool runs and workers, on the test's own loop and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dozor.clock import SteadyClock
from dozor.cluster.assigned import AssignedRuns, HangReports
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.pool_runs import PoolRuns
from dozor.cluster.trust_window import TrustWindow
from dozor.cluster.worker import Worker
from dozor.storage.health import DatabaseHealth
from dozor.storage.journal import Journal, JournalHooks, StateSource
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.listen import Listener
from dozor.storage.postgres.pool import Pool, create_pool
from dozor.storage.tables import pool_runs, tasks
from dozor.storage.tables.pool_runs import ENDED_CHANNEL, QUEUED_CHANNEL
from dozor.storage.tables.tasks import TaskDeclaration
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.persistence import from_row
from dozor.supervision.telemetry.log import SupervisionLog
from tests.supervision.stage import Seen

SILENT_AFTER = 3.0


@dataclass
class Leader:
    supervisor: Supervisor
    seen: Seen
    runs: PoolRuns
    journal: Journal
    pool: Pool

    def state(self, name: str) -> TaskState:
        task = self.supervisor.find(name)
        assert task is not None
        return task.state

    def failure(self, name: str) -> str:
        found = self.state(name).failure_record.failure
        return "" if found is None else found.error_type


@asynccontextmanager
async def leading(
    dsn: str,
    *specs: TaskSpec,
    pool_name: str | None = "default",
    silent_after: float = SILENT_AFTER,
    stored: bool = False,
) -> AsyncIterator[Leader]:
    """A leader of these tasks. `stored`: begin with the states and the runs that the database has."""
    specs = tuple(
        replace(spec, pool=pool_name, policy=replace(spec.policy, timeout=None, heartbeat_timeout=None))
        for spec in specs
    )
    clock, seen, queue = SteadyClock(), Seen(), PgQueuerQueue()
    journal = await Journal.open(dsn, "test", clock, hooks=JournalHooks(distribute=queue.enqueue))
    pool = await create_pool(dsn, max_size=5)
    epoch = journal.registration.runner_id
    runs = PoolRuns(pool, journal, seen, clock, epoch=epoch, silent_after=silent_after)
    await tasks.declare(
        journal.connection,
        [
            TaskDeclaration(name=spec.name, description="", schedule="", max_consecutive_failures=None)
            for spec in specs
        ],
    )
    rows = await tasks.load(journal.connection, [spec.name for spec in specs]) if stored else {}
    supervisor = Supervisor(
        specs,
        observer=seen,
        clock=clock,
        log=SupervisionLog(),
        generation=epoch,
        grace=0.2,
        stored={name: from_row(row) for name, row in rows.items()},
        commits=journal,
        distributor=runs,
        canceller=Canceller(seen, patience=0.1),
    )
    if stored:
        await pool_runs.adopt(journal.connection, epoch)
        runs.adopt(await pool_runs.read_open(journal.connection), supervisor)
    writing = journal.run(StateSource(take_checkpoint=supervisor.take_checkpoint))
    listener = Listener(dsn, {ENDED_CHANNEL: runs.wake}, clock)
    parts = [writing, listener.run(), *(part() for part in runs.parts(supervisor).values())]
    running = [asyncio.ensure_future(part) for part in parts]  # noqa: TID251 -- kept
    supervisor.start()
    try:
        yield Leader(supervisor, seen, runs, journal, pool)
    finally:
        await supervisor.stop()
        for part in running:
            part.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await journal.close(StateSource(take_checkpoint=supervisor.take_checkpoint))
        pool.terminate()


@asynccontextmanager
async def working(
    dsn: str,
    *specs: TaskSpec,
    name: str = "w1",
    slots: int = 20,
    silent_after: float = SILENT_AFTER,
    pools: Sequence[str] = ("default",),
    folder: Path = Path(__file__).parent,
) -> AsyncIterator[Worker]:
    clock = SteadyClock()
    pool = await create_pool(dsn, max_size=4, json_codec=False, reset=False, application_name="test worker")
    checkers = await CheckerPool.open(dsn, size=5, acquire_timeout=5.0, now=clock.now)
    hangs = HangReports()
    health = DatabaseHealth(clock, partial(pool.fetchval, "SELECT 1"))

    def build(worker: Worker) -> AssignedRuns:
        return AssignedRuns(
            specs,
            ended=worker.ended,
            tell=worker.alert,
            silent_after=silent_after,
            redact=str,
            clock=clock,
            log=SupervisionLog(),
            checkers=checkers,
            is_outage=health.explains,
            grace=0.2,
            launch=Launch(dsn=dsn, folder=folder),
            canceller=Canceller(hangs, patience=0.2),
        )

    worker = Worker(
        pool,
        PgQueuerQueue(),
        build,
        hangs,
        health,
        name=name,
        pools=tuple(pools),
        slots=slots,
        window=TrustWindow(silent_after),
    )
    worker.runs.start()
    listener = Listener(dsn, {QUEUED_CHANNEL: worker.wake}, clock)
    running = [asyncio.ensure_future(part()) for part in worker.parts().values()]  # noqa: TID251 -- kept
    running.append(asyncio.ensure_future(listener.run()))  # noqa: TID251 -- kept
    try:
        yield worker
    finally:
        await worker.stop()
        for part in running:
            part.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        checkers.terminate()
        pool.terminate()


def is_in(leader: Leader, name: str, state: State) -> bool:
    return leader.state(name).state is state
