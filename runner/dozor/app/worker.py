"""The worker of a process of a cluster: built from the configuration, apart from what leads."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from loguru import logger

from dozor.app.services import Services
from dozor.clock import SteadyClock
from dozor.cluster.assigned import AssignedRuns, HangReports
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.trust_window import CHILD_SLACK, TrustWindow
from dozor.cluster.worker import Worker
from dozor.config import Config
from dozor.config.imports.checkers import Checker
from dozor.config.imports.environment import withheld_names
from dozor.config.sections.tasks import PoolPlacement
from dozor.language import msg
from dozor.process.child_deadlines import ChildDeadlines
from dozor.process.deadline_timer import DeadlineTimer
from dozor.process.lifecycle import Cleanups
from dozor.storage.health import DatabaseHealth
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.fence import limited_connection
from dozor.storage.postgres.listen import POLL_EVERY, Listener
from dozor.storage.postgres.pool import connect, create_pool
from dozor.storage.tables.pool_runs import QUEUED_CHANNEL
from dozor.supervision.core.spec import TaskSpec, from_config
from dozor.supervision.execution.cancellation import Canceller, GiveUp
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.monitoring.pool_monitor import PoolMonitor
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from dozor.supervision.telemetry.log import SupervisionLog

WORKER_CONNECTIONS = 4
"""For taking runs, heartbeats, ends and a moment of change: none of them waits for another one."""
STATEMENT_TIMEOUT = 10.0
VERSION = importlib.metadata.version("dozor")


def pool_specs(config: Config, checkers: Mapping[str, Checker]) -> list[TaskSpec]:
    """The tasks of `config` whose runs a worker of this process may take."""
    return [
        from_config(task, checkers[task.name], on_worker=True)
        for task in config.tasks
        if task.enabled
        and isinstance(task.placement, PoolPlacement)
        and task.placement.name in config.cluster.pools
    ]


@dataclass(frozen=True, slots=True)
class WorkerPart:
    """A worker with what it works with. `health`: of the database, as its services see it."""

    worker: Worker
    services: Services
    health: DatabaseHealth


async def start_worker(
    config: Config,
    specs: Iterable[TaskSpec],
    cleanups: Cleanups,
    *,
    dsn: str,
    name: str,
    clock: SteadyClock,
    redact: Callable[[str], str],
    grace: float,
    give_up: GiveUp,
    timer: DeadlineTimer | None,
    session_dsn: str | None,
) -> WorkerPart:
    """Take runs of `config.cluster.pools` until `cleanups` are run. Raises as `create_pool`.

    `timer`: ends the process when a run outlives the window. `name`: of this process, for people.
    `grace`: seconds for runs at the end. `session_dsn` None: NOTIFY does not reach this process, so it looks
    ten times a second.
    """
    sizes = config.database.pools
    pool = await create_pool(
        dsn,
        min_size=0,
        max_size=WORKER_CONNECTIONS,
        application_name="dozor worker",
        command_timeout=STATEMENT_TIMEOUT,
        json_codec=False,
        reset=False,
        kind=limited_connection(config.cluster.lease_ttl / 2),
    )

    async def close_pool() -> None:
        pool.terminate()

    cleanups.add(msg("log-part-pool"), close_pool)
    checkers = await CheckerPool.open(
        dsn, size=sizes.checkers, acquire_timeout=sizes.acquire_timeout, now=clock.now
    )

    async def close_checkers() -> None:
        checkers.terminate()

    cleanups.add("ctx.db", close_checkers)
    hangs = HangReports()
    health = DatabaseHealth(clock, partial(_probe, dsn))
    silent_after = config.cluster.lease_ttl
    window = TrustWindow(silent_after, timer, ChildDeadlines(silent_after * CHILD_SLACK))

    def build(worker: Worker) -> AssignedRuns:
        return AssignedRuns(
            specs,
            ended=worker.ended,
            tell=worker.alert,
            silent_after=silent_after,
            redact=redact,
            clock=clock,
            log=SupervisionLog(config.language, redact),
            checkers=checkers,
            is_outage=health.explains,
            grace=grace,
            launch=Launch(
                dsn=dsn,
                folder=config.path.parent,
                pool_size=sizes.process,
                acquire_timeout=sizes.acquire_timeout,
                withheld=withheld_names(config.filled),
                deadlines=window.children,
            ),
            canceller=Canceller(hangs, patience=config.supervision.cancel_patience, give_up=give_up),
        )

    worker = Worker(
        pool,
        PgQueuerQueue(),
        build,
        hangs,
        health,
        name=name,
        pools=config.cluster.pools,
        slots=config.cluster.slots,
        window=window,
        poll_every=1.0 if session_dsn is not None else POLL_EVERY,
    )
    monitor = TaskMonitor(worker.runs, hangs, clock)
    parts = {
        **worker.parts(),
        "worker monitor": monitor.run,
        "ctx.db of the worker": PoolMonitor(checkers, hangs, clock, sizes.starved_after).run,
    }
    if session_dsn is not None:
        parts["worker listener"] = Listener(session_dsn, {QUEUED_CHANNEL: worker.wake}, clock).run
    services = Services(parts, clock, redact)
    worker.runs.start()
    services.start()
    cleanups.add("services", services.stop)
    cleanups.add(msg("log-part-runs"), worker.stop)
    pools = ", ".join(config.cluster.pools)
    logger.info(
        msg("log-worker-started", version=VERSION, name=name, pools=pools, slots=config.cluster.slots)
    )
    return WorkerPart(worker, services, health)


async def _probe(dsn: str) -> None:
    connection = await connect(dsn, application_name="dozor probe", timeout=2.0)
    try:
        await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()
