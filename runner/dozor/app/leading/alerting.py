"""Alerting built from the configuration and from what the database holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.context import DeliveryAttempt
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.silences import silence
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.clock import Clock
from dozor.config import Config
from dozor.config.sections.tasks import TaskConfig
from dozor.control.alert_settings import all_settings, oncall, quiet_hours, routing
from dozor.control.commands.alert_handler import AlertCommandHandler
from dozor.language.translator import Translator
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Connection, Pool
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
    quiet, settings = quiet_hours(config), all_settings(config, tasks)
    within = max([RESOLVED_WITHIN, *(one.reopen_within for one in settings.values())])
    return IncidentManager(
        journal,
        clock,
        settings,
        await incidents.read_open(connection, resolved_within=within),
        await incidents.last_id(connection),
        measures,
        routes=routing(config),
        quiet_at=(lambda now: False) if quiet is None else quiet.covers,
        silences=[silence(row) for row in await silences.read_active(connection)],
        levels=tuple(Level(level.after, level.to) for level in config.alerts.escalate),
        oncall=oncall(config.oncall, config.telegram),
        overrides=await silences.read_overrides(connection),
    )


async def build_alert_handler(
    connection: Connection, manager: IncidentManager, clock: Clock
) -> AlertCommandHandler:
    """For commands about alerts."""
    return AlertCommandHandler(
        manager,
        clock,
        last_silence_id=await silences.last_silence_id(connection),
        last_override_id=await silences.last_override_id(connection),
    )


def build_renderer(
    config: Config, clock: Clock, manager: IncidentManager, name_of: Callable[[str], str | None]
) -> MessageRenderer:
    """In the language of the configuration."""
    return MessageRenderer(
        Translator(config.language),
        config.timezone,
        clock,
        manager.silences.get,
        name_of=name_of,
        public_url=config.web.public_url,
    )


def build_dispatcher(
    pool: Pool,
    renderer: MessageRenderer,
    journal: Journal,
    clock: Clock,
    *,
    direct_sends: DirectSends,
    on_attempt: Iterable[Callable[[DeliveryAttempt], None]],
    on_dead: Callable[[str, str | None], None],
) -> Dispatcher:
    """It delivers to the console until it is given the bot's transport."""
    console = ConsoleTransport()
    dispatcher = Dispatcher(
        pool,
        console,
        console,
        renderer,
        clock,
        direct_sends=direct_sends,
        lagging=lambda: journal.behind,
        on_attempt=on_attempt,
        on_dead=on_dead,
    )
    journal.subscribe(dispatcher.wake)
    return dispatcher
