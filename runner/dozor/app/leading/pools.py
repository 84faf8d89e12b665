"""The leader's side of runs on workers, built from the configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from dozor.alerting.incidents.manager import IncidentManager
from dozor.app.leading.recovery import RecoveredState
from dozor.app.surroundings import LeaderTerm
from dozor.clock import SteadyClock
from dozor.cluster.placement import PgQueuerQueue
from dozor.cluster.pool_runs import PoolRuns
from dozor.config import Config
from dozor.process.threads import in_own_thread
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.postgres.run_fence import RunFence
from dozor.storage.tables.pool_runs import ENDED_CHANNEL, PoolOrder, distribute_nothing
from dozor.supervision.supervisor import Supervisor


def build_pool_runs(
    term: LeaderTerm | None,
    config: Config,
    pool: Pool,
    journal: Journal,
    manager: IncidentManager,
    clock: SteadyClock,
) -> PoolRuns | None:
    """What gives runs to workers; None without a cluster. `pool`: of the leader, fenced."""
    if term is None:
        return None
    epoch, silent_after = term.fence.term.epoch, config.cluster.lease_ttl
    return PoolRuns(pool, journal, manager, clock, epoch=epoch, silent_after=silent_after)


async def import_queue() -> None:
    """Import PgQueuer in a process that may lead later."""
    with suppress(ImportError):  # reported when it is needed
        await in_own_thread(PgQueuerQueue)


def distribute_of(
    term: LeaderTerm | None,
) -> Callable[[Connection, Sequence[PoolOrder]], Awaitable[None]]:
    """What enqueues runs within a transaction of the journal."""
    return distribute_nothing if term is None else PgQueuerQueue().enqueue


def run_fence(term: LeaderTerm | None, config: Config) -> RunFence | None:
    """For `ctx.fence` of runs on the leader; None without a cluster."""
    if term is None:
        return None
    held = term.fence.term
    return RunFence(str(held.epoch), str(held.holder), config.cluster.lease_ttl / 2, on_worker=False)


def adopt_runs(runs: PoolRuns | None, recovered: RecoveredState, supervisor: Supervisor) -> None:
    """Take over what workers have; before the supervisor starts."""
    if runs is not None:
        runs.adopt(recovered.on_workers, supervisor)


def wakes_of(runs: PoolRuns | None) -> dict[str, Callable[[], None]]:
    """Whom NOTIFY wakes, by channel."""
    return {} if runs is None else {ENDED_CHANNEL: runs.wake}


def parts_of(runs: PoolRuns | None, supervisor: Supervisor) -> dict[str, Callable[[], Awaitable[None]]]:
    """To be supervised with the runner's other parts."""
    return {} if runs is None else runs.parts(supervisor)
