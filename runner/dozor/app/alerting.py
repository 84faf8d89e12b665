"""Alerting built from the configuration and from what the database holds."""

from __future__ import annotations

from collections.abc import Iterable

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import override
from dozor.alerting.policy.silences import silence
from dozor.clock import Clock
from dozor.config import Config
from dozor.config.tasks import TaskConfig
from dozor.control.alert_settings import all_settings, oncall, quiet_hours, routing
from dozor.control.commands.alert_handler import AlertCommandHandler
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Connection
from dozor.storage.tables import incidents, silences
from dozor.supervision.telemetry.metrics import RunMetrics

RESOLVED_WITHIN = 3600.0
"""Seconds for which resolved incidents are read back: they may come back."""


async def build_incident_manager(
    connection: Connection,
    config: Config,
    tasks: Iterable[TaskConfig],
    journal: Journal,
    clock: Clock,
    measures: RunMetrics,
) -> IncidentManager:
    """With everything that was open, silenced or swapped when the last runner ended."""
    quiet = quiet_hours(config)
    watch = IncidentManager(
        journal,
        clock,
        all_settings(config, tasks),
        await incidents.read_open(connection, resolved_within=RESOLVED_WITHIN),
        await incidents.last_id(connection),
        measures,
        routes=routing(config),
        quiet_at=(lambda now: False) if quiet is None else quiet.covers,
        silences=[silence(row) for row in await silences.read_active(connection)],
        levels=tuple(Level(level.after, level.to) for level in config.alerts.escalate),
        oncall=oncall(config.oncall, config.telegram),
    )
    watch.overrides = [override(row) for row in await silences.read_overrides(connection)]
    return watch


async def build_alert_handler(
    connection: Connection, watch: IncidentManager, clock: Clock
) -> AlertCommandHandler:
    """For commands about alerts."""
    return AlertCommandHandler(
        watch,
        clock,
        last_silence_id=await silences.last_silence_id(connection),
        last_override_id=await silences.last_override_id(connection),
    )
