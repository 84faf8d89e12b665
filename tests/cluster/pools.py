"""A leader's side of pool runs and workers, on the test's own loop and a real database."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from dozor.app.worker import start_worker
from dozor.clock import SteadyClock
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.pool_runs import PoolRuns
from dozor.cluster.worker import Worker
from dozor.config import Config
from dozor.config.loading import load
from dozor.process.lifecycle import Cleanups
from dozor.redaction import Redactor
from dozor.storage.journal import Journal, JournalHooks, StateSource
from dozor.storage.postgres.listen import Listener
from dozor.storage.postgres.pool import Pool, create_pool
from dozor.storage.tables import pool_runs, tasks
from dozor.storage.tables.pool_runs import ENDED_CHANNEL
from dozor.storage.tables.tasks import TaskDeclaration
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.execution.cancellation import Canceller
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
    """As `dozor run --role worker`, without its process; it reports the runs that hang after 0.4 s."""
    cleanups = Cleanups()
    part = await start_worker(
        _config(dsn, slots=slots, lease_ttl=silent_after, pools=pools, folder=folder),
        "",
        specs,
        cleanups,
        dsn=dsn,
        session_dsn=dsn,
        name=name,
        clock=SteadyClock(),
        redactor=Redactor(),
        shown=lambda specs, changed: None,
        grace=0.2,
        give_up=lambda task: None,
        timer=None,
    )
    try:
        yield part.worker
    finally:
        await cleanups.run()


def _config(dsn: str, *, slots: int, lease_ttl: float, pools: Sequence[str], folder: Path) -> Config:
    """Its tasks are not those that a worker gets, which are given as specifications."""
    whole = {
        "language": "en",
        "database": {"url": dsn, "pools": {"checkers": 5, "acquire_timeout": 5}},
        "supervision": {"cancel_patience": 0.2},
        "cluster": {"enabled": True, "lease_ttl": lease_ttl, "pools": list(pools), "slots": slots},
        "tasks": {"unused": {"run": "some:check", "every": "1h"}},
    }
    with tempfile.TemporaryDirectory(prefix="dozor-") as written:
        path = Path(written) / "config.yaml"
        path.write_text(yaml.safe_dump(whole))
        return load(path).model_copy(update={"path": folder / "config.yaml"})


def is_in(leader: Leader, name: str, state: State) -> bool:
    return leader.state(name).state is state
