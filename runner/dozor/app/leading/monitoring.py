"""Builds the monitors of supervision: troubles become incidents, a blocked loop an emergency message."""

from __future__ import annotations

from collections.abc import Callable

from dozor.alerting.fallback.emergency import EmergencySender
from dozor.alerting.incidents.manager import IncidentManager
from dozor.clock import SteadyClock
from dozor.config import Config
from dozor.language.translator import Translator
from dozor.storage.postgres.pools import Pools
from dozor.supervision.monitoring.monitors import Monitors
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.observer import TroubleKind


def build_monitors(
    config: Config,
    supervisor: Supervisor,
    manager: IncidentManager,
    clock: SteadyClock,
    pools: Pools,
    redact: Callable[[str], str],
) -> Monitors:
    """Start it when the loop runs. It restores the troubles that the runner before this one has reported."""
    # Texts of its own: the alarm is sent from a thread.
    alarm = EmergencySender(config.telegram, Translator(config.language), redact)
    monitors = Monitors(
        supervisor,
        manager,
        clock,
        pools.core,
        probes=pools.probes,
        checkers=pools.checkers,
        starved_after=config.database.pools.starved_after,
        rules=config.supervision,
        limits=config.limits,
        dependencies=config.dependencies,
        alarm=alarm.send,
        redact=redact,
    )
    kinds = {kind.value: kind for kind in TroubleKind}
    for incident in manager.open_incidents:
        if incident.kind.value in kinds:
            monitors.restore(kinds[incident.kind.value], incident.fingerprint, incident.task)
    return monitors
