"""The worker of a process of a cluster: built from the configuration, apart from what leads."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from loguru import logger

from dozor.app.idle_web import idle_snapshot
from dozor.app.launch import launch_of
from dozor.app.services import Services
from dozor.app.worker_config import Shown, WorkerConfig
from dozor.clock import SteadyClock
from dozor.cluster.assigned import AssignedRuns, HangReports
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.trust_window import CHILD_SLACK, TrustWindow
from dozor.cluster.worker import Worker
from dozor.config import Config
from dozor.control.readiness import HealthSnapshot
from dozor.language import msg
from dozor.process.child_deadlines import ChildDeadlines
from dozor.process.deadline_timer import DeadlineTimer
from dozor.process.lifecycle import Cleanups
from dozor.redaction import Redactor
from dozor.storage.health import DatabaseHealth
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.fence import limited_connection
from dozor.storage.postgres.listen import POLL_EVERY, Listener
from dozor.storage.postgres.pool import connect, create_pool
from dozor.storage.tables.pool_runs import QUEUED_CHANNEL
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.cancellation import Canceller, GiveUp
from dozor.supervision.monitoring.pool_monitor import PoolMonitor
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from dozor.supervision.runs.resources import ResourcePlan, Resources
from dozor.supervision.telemetry.log import SupervisionLog

WORKER_CONNECTIONS = 4
"""For taking runs, heartbeats, ends and a moment of change: none of them waits for another one."""
STATEMENT_TIMEOUT = 10.0
VERSION = importlib.metadata.version("dozor")


def worker_snapshot(
    answered_at: float, ttl: float, now: float, uptime: float, failing_parts: Mapping[str, str]
) -> HealthSnapshot:
    """What `/readyz` of a worker is judged by. Pure.

    The database may be silent for `ttl` seconds, after which the leader gives runs up.
    `answered_at`, `uptime`: by CLOCK_BOOTTIME; `now`: seconds since the epoch.
    """
    silent = uptime - answered_at
    up = silent <= ttl
    since = None if up else now - silent
    return idle_snapshot(now, database_up=up, database_down_since=since, failing_parts=failing_parts)


@dataclass(frozen=True, slots=True)
class WorkerPart:
    """A worker with what it works with. `settings`: its configuration, which may change."""

    worker: Worker
    services: Services
    settings: WorkerConfig
    window: TrustWindow
    clock: SteadyClock
    redact: Callable[[str], str]

    def failing(self) -> Mapping[str, str]:
        """What keeps it from taking runs, and why; for a process that is something else as well."""
        vitals = self.vitals()
        if vitals.database_down_since is None:
            return vitals.failing_parts
        silent = msg("log-ready-database", seconds=f"{vitals.now - vitals.database_down_since:.0f}")
        return {**vitals.failing_parts, "worker": silent}

    def vitals(self) -> HealthSnapshot:
        """What `/readyz` of a process that is nothing else is judged by."""
        window = self.window
        refused = {name: self.redact(why) for name, why in self.worker.failing.items()}
        failing = {**refused, **self.services.failing}
        return worker_snapshot(self.worker.answered_at, window.ttl, self.clock.now(), window.now(), failing)


async def start_worker(
    config: Config,
    digest: str,
    specs: Iterable[TaskSpec],
    cleanups: Cleanups,
    *,
    dsn: str,
    name: str,
    clock: SteadyClock,
    redactor: Redactor,
    shown: Shown,
    grace: float,
    give_up: GiveUp,
    timer: DeadlineTimer | None,
    session_dsn: str | None,
) -> WorkerPart:
    """Take runs of `config.cluster.pools` until `cleanups` are run. Raises as `create_pool`.

    `digest`: `config_digest` of `config`. `shown`: takes its tasks after a reload, see `Shown`.
    `timer`: ends the process when a run outlives the window. `name`: of this process, for people.
    `grace`: seconds for runs at the end. `session_dsn` None: NOTIFY does not reach this process, so it looks
    ten times a second.
    """
    sizes, plan = config.database.pools, ResourcePlan.of(config)
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
    hangs, misfits, redact = HangReports(), asyncio.Event(), redactor.redact
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
            launch=launch_of(config, plan, dsn=dsn, deadlines=window.children),
            resources=Resources(plan, clock.now),
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
        misfits=misfits,
    )
    settings = WorkerConfig(config, digest, worker.runs, redactor, misfits, shown)
    monitor = TaskMonitor(worker.runs, hangs, clock)
    parts = {
        **worker.parts(),
        "worker monitor": monitor.run,
        "worker configuration": settings.follow,
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
    return WorkerPart(worker, services, settings, window, clock, redact)


async def _probe(dsn: str) -> None:
    connection = await connect(dsn, application_name="dozor probe", timeout=2.0)
    try:
        await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()
