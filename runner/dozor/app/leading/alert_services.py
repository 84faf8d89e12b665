"""The long-lived services of alerting, as the configuration asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from loguru import logger

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.fallback.apprise import AppriseChannels
from dozor.alerting.fallback.failover import ChannelFailover
from dozor.alerting.fallback.outage_queue import OutageQueue
from dozor.alerting.fallback.outage_sender import OutageSender
from dozor.alerting.fallback.outbox_failover import OutboxFailover
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import AlertData
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.alerting.reports.daily import DailyReports
from dozor.alerting.reports.heartbeat import Heartbeat
from dozor.app import surroundings
from dozor.clock import Clock
from dozor.config import Config, TelegramConfig
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.alert_settings import quiet_hours
from dozor.language import msg
from dozor.language.translator import Translator
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Pool
from dozor.storage.spool import Spool
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor

Parts = dict[str, Callable[[], Awaitable[None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertServices:
    """What the parts are made of. `well`: whether everything works, for the sign of life.

    `may_act`: of a cluster, whether this process still leads; asked before each message and sign of life.
    """

    config: Config
    pool: Pool
    manager: IncidentManager
    journal: Journal
    supervisor: Supervisor
    dispatcher: Dispatcher
    words: MessageRenderer
    clock: Clock
    spool: Spool
    well: Callable[[], bool]
    may_act: Callable[[], bool] | None = None

    def build(self) -> Parts:
        """By name."""
        config, alerts = self.config, self.config.alerts
        directly, failover = self.dispatcher.directly, self._failover()
        queue = OutageQueue(self.journal, self.spool, directly, self.manager.store, self.words)
        outage_sender = OutageSender(
            self.manager,
            self.journal.health,
            queue,
            self.dispatcher,
            self._held,
            self.clock,
            failover,
        )
        daily = DailyReports(
            self.pool,
            self.manager,
            self.clock,
            config.timezone,
            lambda: len(self.supervisor.tasks),
            quiet=quiet_hours(config),
            all_clear_at=alerts.all_clear_at,
        )
        parts: Parts = {"outage sender": outage_sender.run, "daily": daily.run}
        if failover is not None:
            translator = Translator(config.language)
            parts["failover"] = OutboxFailover(
                self.pool, failover, self.words, translator, self.clock, directly
            ).run
        if alerts.heartbeat is not None and alerts.heartbeat.url is not None:
            url = alerts.heartbeat.url.get_secret_value()
            parts["heartbeat"] = Heartbeat(url, alerts.heartbeat.every, self._alive).run
        return parts

    def _failover(self) -> ChannelFailover | None:
        channel = self.config.alerts.second_channel
        if channel is None or not channel.urls:
            return None
        channels = AppriseChannels([url.get_secret_value() for url in channel.urls])
        may_act = self.may_act

        async def send(title: str, text: str) -> bool:
            return (may_act is None or may_act()) and await channels.send(title, text)

        return ChannelFailover(send, Translator(self.config.language), channel.after)

    def _alive(self) -> bool:
        return (self.may_act is None or self.may_act()) and self.well()

    def _held(self) -> tuple[str, ...]:
        tasks = self.supervisor.tasks
        return tuple(task.spec.name for task in tasks if task.state.state is State.HELD)


class DestinationMonitor:
    """Opens an incident while a destination refuses messages; the admins get it in private."""

    def __init__(
        self, config: TelegramConfig, manager: IncidentManager, routed: frozenset[str] | None = None
    ) -> None:
        """`routed`: keys of the other destinations; None: not known, no incident is closed for its chat."""
        self._routed = frozenset(routed or ())
        self._knows_routes = routed is not None
        self._admins = tuple(str(admin) for admin in config.admins)
        self._chat = "" if config.chat is None else str(config.chat.chat_id)
        self._manager = manager

    def changed(self, key: str, reason: str | None) -> None:
        """`reason` None: it takes messages again."""
        if key in self._admins or not self._admins:
            return  # nobody is left but the console
        name = key or self._chat
        if not key and self._knows_routes:
            self._forget_former_chats()
        if reason is None:
            self._manager.resolve_incident(IncidentKind.TELEGRAM, name, to=self._admins)
        else:
            self._manager.open_incident(IncidentKind.TELEGRAM, name, AlertData(text=reason), to=self._admins)

    def _forget_former_chats(self) -> None:
        """A chat that the configuration does not have any more can be refused or reached by nobody."""
        for incident in self._manager.open_incidents:
            former = incident.fingerprint not in (self._chat, *self._routed)
            if incident.kind is IncidentKind.TELEGRAM and former:
                self._manager.resolve_incident(IncidentKind.TELEGRAM, incident.fingerprint, to=self._admins)


async def send_the_last(journal: Journal, dispatcher: Dispatcher) -> None:
    """Have what the end of the process has brought written and, if it goes quickly, delivered."""
    try:
        async with asyncio.timeout(surroundings.TELL_SECONDS):
            await journal.flush()
    except TimeoutError:
        logger.warning(msg("log-changes-in-time"))
        return
    try:
        async with asyncio.timeout(surroundings.TELL_SECONDS):
            await dispatcher.idle()
    except TimeoutError:
        logger.warning(msg("log-messages-left"))
