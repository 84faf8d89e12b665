"""Builds the supervisor from the configuration and the recovered state of tasks."""

from __future__ import annotations

from collections.abc import Callable

from dozor.alerting.incidents.manager import IncidentManager
from dozor.app.launch import launch_of
from dozor.app.leading.recovery import RecoveredState
from dozor.clock import SteadyClock
from dozor.config import Config
from dozor.process.child_deadlines import ChildDeadlines
from dozor.storage.journal import Journal
from dozor.storage.postgres.pools import Pools
from dozor.storage.postgres.run_fence import RunFence
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.cancellation import Canceller, GiveUp
from dozor.supervision.execution.distribution import Distributor
from dozor.supervision.held_starts import HeldBack
from dozor.supervision.runs.resources import ResourcePlan, Resources
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog


def build_supervisor(
    specs: list[TaskSpec],
    config: Config,
    manager: IncidentManager,
    recovered: RecoveredState,
    *,
    journal: Journal,
    pools: Pools,
    dsn: str,
    clock: SteadyClock,
    redact: Callable[[str], str],
    grace: float,
    give_up: GiveUp,
    held: HeldBack | None = None,
    distributor: Distributor | None = None,
    fence: RunFence | None = None,
    deadlines: ChildDeadlines | None = None,
) -> Supervisor:
    """Not started. `grace`: seconds that runs in progress get at the end. `deadlines`: see `Launch`."""
    plan = ResourcePlan.of(config)
    return Supervisor(
        specs,
        observer=manager,
        clock=clock,
        log=SupervisionLog(config.language, redact),
        generation=journal.registration.runner_id,
        stored=recovered.states,
        checkers=pools.checkers,
        is_outage=journal.health.explains,
        redact=redact,
        grace=grace,
        launch=launch_of(config, plan, dsn=dsn, deadlines=deadlines),
        resources=Resources(plan, clock.now),
        commits=journal,
        crashes=recovered.crashes,
        held=held,
        distributor=distributor,
        fence=fence,
        canceller=Canceller(manager, patience=config.supervision.cancel_patience, give_up=give_up),
    )
