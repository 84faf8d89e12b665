"""The alerting room's long-lived parts, as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.fallback.apprise import AppriseChannels
from dozor.alerting.fallback.channel import FallbackChannel
from dozor.alerting.fallback.failover import ChannelFailover
from dozor.alerting.fallback.outage_sender import OutageSender
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import Facts
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.alerting.reports.daily import DailyReports
from dozor.alerting.reports.heartbeat import Heartbeat
from dozor.clock import Clock
from dozor.config import Config, TelegramConfig
from dozor.config.incident_kinds import IncidentKind
from dozor.control.alert_settings import quiet_hours
from dozor.language.translator import Translator
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Pool
from dozor.storage.spool import Spool, SpoolState
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor

Parts = dict[str, Callable[[], Awaitable[None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertServices:
    """What the parts are made of. `well`: whether everything works, for the sign of life."""

    config: Config
    pool: Pool
    watch: IncidentManager
    journal: Journal
    supervisor: Supervisor
    dispatcher: Dispatcher
    words: MessageRenderer
    clock: Clock
    spool: Spool
    well: Callable[[], bool]

    def build(self) -> Parts:
        """By name."""
        config, alerts = self.config, self.config.alerts
        second = self._second_channel()
        last_gasp = OutageSender(
            self.watch,
            self.journal.health,
            lambda: self.journal.unwritten_notifications,
            self._held,
            lambda: self.dispatcher.transport,
            lambda: self.dispatcher.pace,
            self._keep,
            self.words,
            self.clock,
            self.dispatcher.directly,
            second,
        )
        daily = DailyReports(
            self.pool,
            self.watch,
            self.clock,
            config.timezone,
            lambda: len(self.supervisor.tasks),
            quiet=quiet_hours(config),
            all_clear_at=alerts.all_clear_at,
        )
        parts: Parts = {"last gasp": last_gasp.run, "daily": daily.run}
        if second is not None:
            translator, directly = Translator(config.language), self.dispatcher.directly
            parts["second channel"] = ChannelFailover(
                self.pool, second, self.words, translator, self.clock, directly
            ).run
        if alerts.heartbeat is not None and alerts.heartbeat.url is not None:
            url = alerts.heartbeat.url.get_secret_value()
            parts["heartbeat"] = Heartbeat(url, alerts.heartbeat.every, self.well).run
        return parts

    async def _keep(self) -> None:
        """For the next process, should this one be killed before the database is back."""
        unwritten, directly = self.journal.unwritten, self.dispatcher.directly
        if not unwritten.notifications:
            return
        await self.spool.keep(
            SpoolState(
                runner_id=self.journal.registration.runner_id,
                tasks=unwritten.tasks,
                incidents=unwritten.incidents,
                notifications=unwritten.notifications,
                delivered=dict(directly.delivered),
                elsewhere=frozenset(directly.via_fallback),
                unknown=frozenset(directly.unknown),
            )
        )

    def _second_channel(self) -> FallbackChannel | None:
        channel = self.config.alerts.second_channel
        if channel is None or not channel.urls:
            return None
        channels = AppriseChannels([url.get_secret_value() for url in channel.urls])
        return FallbackChannel(channels.send, Translator(self.config.language), channel.after)

    def _held(self) -> tuple[str, ...]:
        tasks = self.supervisor.tasks
        return tuple(task.spec.name for task in tasks if task.state.state is State.HELD)


class DestinationMonitor:
    """Opens an incident while a destination refuses messages; the admins get it in private."""

    def __init__(self, config: TelegramConfig, watch: IncidentManager) -> None:
        self._admins = tuple(str(admin) for admin in config.admins)
        self._chat = "" if config.chat is None else str(config.chat.chat_id)
        self._watch = watch

    def changed(self, key: str, reason: str | None) -> None:
        """`reason` None: it takes messages again."""
        if key in self._admins or not self._admins:
            return  # nobody is left but the console
        name = key or self._chat
        if reason is None:
            self._watch.resolve_incident(IncidentKind.TELEGRAM, name, to=self._admins)
        else:
            self._watch.open_incident(IncidentKind.TELEGRAM, name, Facts(text=reason), to=self._admins)
