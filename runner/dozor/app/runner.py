"""The composition root: builds everything from the configuration, in a straight line."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.alerting.incidents.facts import fingerprint_of
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.notification import AlertData
from dozor.alerting.reports.runner import RunnerReports
from dozor.alerting.tracing import Tracing, open_tracing
from dozor.app import recovery as start
from dozor.app.alert_services import AlertServices, DestinationMonitor
from dozor.app.alerting import (
    build_alert_handler,
    build_dispatcher,
    build_incident_manager,
    build_renderer,
)
from dozor.app.monitoring import build_monitors
from dozor.app.services import Services
from dozor.app.supervision import build_supervisor
from dozor.app.telegram import TelegramSide
from dozor.clock import SteadyClock
from dozor.config import Config
from dozor.config.imports.checkers import Checker, load_with_checkers
from dozor.config.secrets import register_config_secrets
from dozor.config.source.problems import Problem, as_error
from dozor.config.values.incident_kinds import IncidentKind
from dozor.config.values.roles import Role
from dozor.control.alert_settings import oncall
from dozor.control.commands.commands import COMMANDS_CHANNEL
from dozor.control.commands.executor import CommandExecutor
from dozor.control.readiness import HealthSnapshot, Readiness, evaluate
from dozor.control.reload import Reloader
from dozor.errors import DatabaseUnavailableError, DozorError, RunHungError
from dozor.language import Language, msg
from dozor.language.process import use_language
from dozor.language.translator import warm
from dozor.process.lifecycle import Cleanups
from dozor.process.threads import in_own_thread
from dozor.redaction import Redactor
from dozor.storage.journal import NO_HOOKS, NO_STATES, Commit, Journal, JournalHooks, StateSource
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.listen import Listener
from dozor.storage.postgres.migration_sets import sets_for
from dozor.storage.postgres.pool import Pool
from dozor.storage.postgres.pools import Pools
from dozor.storage.retention import run_pruner
from dozor.storage.spool import Spool
from dozor.supervision.core.spec import TaskSpec, from_config
from dozor.supervision.monitoring.monitors import Monitors
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.metrics import RunMetrics

if TYPE_CHECKING:
    from dozor.web.sources import Sources as WebSources

NOTHING_UNUSABLE: Mapping[str, str] = MappingProxyType({})
VERSION = importlib.metadata.version("dozor")
FLUSH_SECONDS = 10.0
"""How long the end of the runner waits for the database to take what is still to be written."""
TELL_SECONDS = 5.0
"""How long the end of the runner waits for messages owed to leave."""


class Runner:
    """A runner inside any application: `async with Runner.from_config("config.yaml") as runner: ...`

    It takes no signals and does not touch the application's logging. The language of the configuration
    becomes that of the process: of Dozor's log lines and errors.
    """

    def __init__(
        self,
        config: Config,
        checkers: dict[str, Checker],
        *,
        wait: bool = False,
        grace: float = 10.0,
        unusable: Mapping[str, str] = NOTHING_UNUSABLE,
    ) -> None:
        self.config = config
        use_language(config.language)
        self.redactor = Redactor()
        register_config_secrets(config, self.redactor)
        self._wait = wait
        self._grace = grace
        self._clock = SteadyClock()
        self._started_at = self._clock.now()
        self._cleanups = Cleanups()
        self._deliveries = DeliveryMetrics()
        self._enabled = [task for task in config.tasks if task.enabled]
        self._specs: list[TaskSpec] = [
            from_config(task, checkers[task.name], unusable=unusable.get(task.name, ""))
            for task in self._enabled
        ]
        self.unstopped: tuple[str, ...] = ()
        """Tasks whose run would not end when the runner did: what they hold is not let go."""
        self.failed: asyncio.Future[DozorError] = asyncio.Future()
        """Set when the runner cannot go on: another one has taken over."""
        self._watching: tuple[Supervisor, IncidentManager] | None = None
        self._states = NO_STATES
        self.web_port: int | None = None
        """Where the web server listens, once it does."""
        self.supervisor: Supervisor
        self.journal: Journal
        self.watch: IncidentManager
        self.dispatcher: Dispatcher
        self.services: Services

    @classmethod
    def from_config(
        cls, path: str | Path, *, wait: bool = False, grace: float = 10.0, role: Role | None = None
    ) -> Self:
        """Read the configuration and import the checkers. Raises ConfigError with every problem.

        Checkers with `isolation: process` are imported in child processes only. One whose import does not end
        stops its own task, with an incident.

        Call it where a loop runs. `wait`: stay in line while another runner works on the database.
        `grace`: seconds that runs in progress get at the end. `role`: of this process in a cluster (None:
        all); a ConfigError without `cluster.enabled`.
        """
        loaded = load_with_checkers(Path(path), allow_hung=True)
        config = loaded.config
        if role is not None and not config.cluster.enabled:
            problem = Problem(msg("config-role-without-cluster", role=role.value), ("cluster", "enabled"))
            raise as_error(config.source, config.lines, [problem])
        return cls(loaded.config, loaded.checkers, wait=wait, grace=grace, unusable=loaded.hung)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._cleanups.run()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """No new runs, a grace period for those in progress, then everything is written down."""
        await self._cleanups.run()

    async def _start(self) -> None:
        warming = asyncio.create_task(in_own_thread(warm, self._languages()))
        database = await self._open_database()
        tracing = self._open_tracing()
        spool, direct_sends = await self._spool(), DirectSends()
        journal = await self._open_journal(database, tracing, spool, direct_sends)
        pools = await self._open_pools(database)
        telegram = await self._open_telegram(pools.core)
        recovered = await self._recover(journal, spool, direct_sends)
        watch = await self._build_incident_manager(journal, tracing)
        self.supervisor = supervisor = build_supervisor(
            self._specs,
            self.config,
            watch,
            recovered,
            journal=journal,
            pools=pools,
            dsn=database.dsn,
            clock=self._clock,
            redact=self.redactor.redact,
            grace=self._grace,
            give_up=self._give_up,
        )
        reports = RunnerReports(watch, self._clock)
        self._states = StateSource(take_checkpoint=supervisor.take_checkpoint, dropped=reports.dropped)
        self._watching = (supervisor, watch)
        monitors = build_monitors(self.config, supervisor, watch, self._clock, pools, self.redactor.redact)
        renderer = build_renderer(self.config, self._clock, watch, telegram.name_of)
        self.dispatcher = dispatcher = build_dispatcher(
            pools.core,
            renderer,
            journal,
            self._clock,
            direct_sends=direct_sends,
            on_attempt=[self._deliveries.sent, *([] if tracing is None else [tracing.delivery])],
            on_dead=DestinationMonitor(self.config.telegram, watch).changed,
        )
        reloader = self._build_reloader(supervisor, watch, pools.core, database)
        await self._build_executor(pools.core, journal, supervisor, watch, reloader)
        alert_services = AlertServices(
            config=self.config,
            pool=pools.core,
            watch=watch,
            journal=journal,
            supervisor=supervisor,
            dispatcher=dispatcher,
            words=renderer,
            clock=self._clock,
            spool=spool,
            well=lambda: self.readiness().ready,
        )
        services = self._build_services(database, pools.core, telegram, alert_services, monitors, reloader)
        journal.health.subscribe(lambda up: self._database_changed(database, up=up))
        now = self._clock.now()
        report = await start.startup_report(journal, pools.core, supervisor.tasks, recovered, now)
        start.say_in_the_log(report, supervisor.tasks)
        await warming  # the services put alerts into words on the loop
        monitors.start()
        self._cleanups.add("watchdog", monitors.stop)
        services.start()
        self._cleanups.add("services", services.stop)
        self._cleanups.add(msg("log-part-messages"), self._tell_the_last)
        await start.act_on_crashes(supervisor, journal, recovered.crashes)
        supervisor.start()
        self._cleanups.add(msg("log-part-runs"), self._stop_supervising)
        reports.started(supervisor, report)
        self._say_started(journal, telegram)

    # -- the steps of the start; what a step opens is closed in the reverse order

    def _languages(self) -> tuple[Language, ...]:
        """In which texts may be needed: with a bot, that of each person."""
        own = self.config.language
        return (own, *Language) if self.config.telegram.token is not None else (own,)

    async def _open_database(self) -> Database:
        """The server, with its schema up to date."""
        database = await Database.open(self.config.database, wait=self._wait)
        self._cleanups.add(msg("log-part-server"), database.close)
        await database.prepare(await in_own_thread(sets_for, self.config))
        return database

    def _open_tracing(self) -> Tracing | None:
        tracing = open_tracing(VERSION, self._clock)
        if tracing is not None:
            self._cleanups.add("traces", tracing.close)
        return tracing

    async def _spool(self) -> Spool:
        return Spool(await in_own_thread(start.outage_file, self.config))

    async def _open_journal(
        self, database: Database, tracing: Tracing | None, spool: Spool, direct_sends: DirectSends
    ) -> Journal:
        """Take the lock: from here on no other runner works on this database."""
        hooks = JournalHooks(
            tried=lambda: direct_sends.tried,
            written=spool.remove,
            appended=NO_HOOKS.appended if tracing is None else tracing.incidents,
        )
        self.journal = await Journal.open(database.dsn, VERSION, self._clock, wait=self._wait, hooks=hooks)
        self._cleanups.add("journal", self._close_journal)
        return self.journal

    async def _open_pools(self, database: Database) -> Pools:
        config = self.config
        self.pools = await Pools.open(
            database.dsn, config.database.pools, config.queried_dependencies, self._clock.now
        )
        self._cleanups.add(msg("log-part-pool"), self.pools.close)
        return self.pools

    async def _open_telegram(self, pool: Pool) -> TelegramSide:
        self._telegram = TelegramSide(self.config, pool, self._clock)
        self._cleanups.add("telegram", self._telegram.close)
        await self._telegram.read_names()
        return self._telegram

    async def _recover(
        self, journal: Journal, spool: Spool, direct_sends: DirectSends
    ) -> start.RecoveredState:
        """What the runner before this one has left."""
        await start.replay_spool(journal, spool, direct_sends)
        recovered = await start.read_recovered(
            journal.connection,
            self._enabled,
            self._specs,
            journal.registration.runner_id,
            self._clock.now(),
        )
        journal.append(Commit(runs=recovered.lost))
        return recovered

    async def _build_incident_manager(self, journal: Journal, tracing: Tracing | None) -> IncidentManager:
        count = len(self._specs)
        self._run_metrics = RunMetrics(count) if tracing is None else tracing.measures(count)
        self.watch = await build_incident_manager(
            journal.connection, self.config, self._enabled, journal, self._clock, self._run_metrics
        )
        return self.watch

    def _build_reloader(
        self, supervisor: Supervisor, watch: IncidentManager, pool: Pool, database: Database
    ) -> Reloader:
        self.reloader = Reloader(
            self.config, supervisor, watch, pool, self._clock, self.redactor, self._use, database
        )
        return self.reloader

    async def _build_executor(
        self,
        pool: Pool,
        journal: Journal,
        supervisor: Supervisor,
        watch: IncidentManager,
        reloader: Reloader,
    ) -> None:
        self.executor = CommandExecutor(
            pool,
            journal,
            supervisor,
            self._clock,
            frozenset(task.name for task in self.config.tasks if not task.enabled),
            await build_alert_handler(journal.connection, watch, self._clock),
            reloader.reload,
        )

    def _build_services(
        self,
        database: Database,
        pool: Pool,
        telegram: TelegramSide,
        alert_services: AlertServices,
        monitors: Monitors,
        reloader: Reloader,
    ) -> Services:
        listener = Listener(database.dsn, {COMMANDS_CHANNEL: self.executor.wake}, self._clock)
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "journal": self._write,
            "commands": self.executor.run,
            "listener": listener.run,
            "reminders": self._remind,
            "housekeeping": lambda: run_pruner(pool),
            "dispatcher": self._dispatch,
            **alert_services.build(),
            **monitors.parts(),
        }
        if self.config.supervision.watch_config:
            parts["config file"] = reloader.watch_file
        if self.config.web.listen is not None:
            parts["web"] = self._serve
        parts |= telegram.parts(self.watch)
        self.services = Services(parts, self._clock, self.redactor.redact)
        return self.services

    def _say_started(self, journal: Journal, telegram: TelegramSide) -> None:
        for hint in self.config.hints:
            logger.info("{}", self.redactor.redact(hint))
        number = journal.registration.runner_id
        logger.info(msg("log-on-duty", version=VERSION, tasks=len(self._specs), runner=number))
        telegram.say_if_absent()

    # -- parts

    def _use(self, config: Config) -> None:
        """After a reload."""
        self.config = config
        self.executor.disabled = frozenset(task.name for task in config.tasks if not task.enabled)
        self._telegram.use_people(config.telegram)

    def _give_up(self, task: SupervisedTask) -> None:
        """on_hang: exit. The service manager starts us anew."""
        if not self.failed.done():
            self.failed.set_result(RunHungError(msg("error-run-hung", name=task.spec.name)))

    async def _write(self) -> None:
        try:
            await self.journal.run(self._states)
        except DozorError as error:
            if isinstance(error, DatabaseUnavailableError):
                raise
            if not self.failed.done():
                self.failed.set_result(error)
            await asyncio.Event().wait()  # nothing may be written any more; the runner is about to end

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.watch.tick(self.supervisor)

    async def _dispatch(self) -> None:
        await self._telegram.connect(self.dispatcher)
        await self.dispatcher.run()

    async def _serve(self) -> None:
        web = await in_own_thread(importlib.import_module, "dozor.web.server")
        await web.serve(self.config.web.listen, self.web_sources(), ready=self._listening)

    def _listening(self, port: int) -> None:
        self.web_port = port

    def web_sources(self) -> WebSources:
        from dozor.web.sources import Sources, this_runner

        return Sources(
            clock=self._clock,
            pool=self.pools.web,
            supervisor=self.supervisor,
            journal=self.journal,
            vitals=self.vitals,
            measures=self._run_metrics,
            deliveries=self._deliveries,
            open_incidents=lambda: self.watch.open_incidents,
            runner=this_runner(self.journal.registration.runner_id, VERSION, self._started_at),
            language=self.config.language,
            token=self.config.web.token,
            public=self.config.web.public,
            hosts=self.config.web.hosts,
            urls=(self.config.web.public_url, self.config.telegram.webhook),
            timezone=self.config.timezone.key,
            on_call=lambda: self.watch.oncall.now(self._clock.now(), self.watch.overrides),
            silence=self.watch.silences.get,
            name_of=self._telegram.name_of,
            place_of=oncall(self.config.oncall).places.get,
            webhook=self._telegram.webhook,
            webhook_admits=None if self._telegram.webhook is None else self._telegram.admits,
        )

    # -- what others ask

    def vitals(self) -> HealthSnapshot:
        """What `/healthz` and `/readyz` are judged by. A clock that was set makes nothing late."""
        at, polled_at = self._clock.in_present_time, self._telegram.polled_at
        return HealthSnapshot(
            now=self._clock.now(),
            supervision_late=self.supervisor.late_by(self._clock.now()),
            database_up=self.journal.health.up,
            database_down_since=self.journal.health.down_since,
            journal_written_at=at(self.journal.last_written_at),
            dispatcher_at=at(self.dispatcher.last_progress_at),
            commands_at=at(self.executor.last_progress_at),
            telegram_wanted=self._telegram.wanted,
            telegram_problem=self._telegram.problem,
            telegram_polled_at=None if polled_at is None else at(polled_at),
            chat_refuses=self.dispatcher.refused,
            held_chats=self.dispatcher.holds,
            failing_parts=dict(self.services.failing),
        )

    def report_escape(self, text: str) -> None:
        """An error that no task could be held responsible for, as an incident."""
        text = self.redactor.redact(text)
        facts = set_text(AlertData(), text)
        self.watch.open_incident(IncidentKind.CHECKER, fingerprint_of(text), facts)

    def details_for_the_log(self, task: str) -> dict[str, object]:
        """The present or last run and the open incident of `task`, as far as there are any."""
        if self._watching is None:
            return {}
        supervisor, watch = self._watching
        known: dict[str, object] = {"incident": next((i.id for i in watch.store.failures_of(task)), None)}
        supervised = supervisor.find(task)
        if supervised is not None:
            run = supervised.run
            last = supervised.last_ended if run is None else (run.number, run.attempt)
            if last is not None:
                known |= {"run_id": run_id(self.journal.registration.runner_id, last[0]), "attempt": last[1]}
        return known

    def readiness(self) -> Readiness:
        return evaluate(self.vitals())

    # -- inside

    def _database_changed(self, database: Database, *, up: bool) -> None:
        self.supervisor.dependency_changed(up=up)
        if not up:
            database.revive()

    async def _stop_supervising(self) -> None:
        self.unstopped = await self.supervisor.stop()
        for name in self.unstopped:
            logger.error(msg("log-would-not-stop", name=name))

    async def _tell_the_last(self) -> None:
        """Have what the end has brought written and, if it goes quickly, delivered."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self.journal.flush()
        except TimeoutError:
            logger.warning(msg("log-changes-in-time"))
            return
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self.dispatcher.idle()
        except TimeoutError:
            logger.warning(msg("log-messages-left"))

    async def _close_journal(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.journal.close(self._states, clean=not self.failed.done())
        except (TimeoutError, DozorError) as error:
            self.journal.abandon()
            logger.error(msg("log-changes-lost", error=str(error) or msg("log-no-answer-in-time")))
