"""The leading part: what one process at a time does, built from the configuration in a straight line.

Without a cluster it is built once, with the lock of a session. In a cluster it is built for each term of this
process and torn down at the end of it; the fence of its connections refuses what it would write after that.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.notification import AlertData
from dozor.alerting.reports.runner import RunnerReports
from dozor.alerting.tracing import Tracing, open_tracing
from dozor.app import surroundings
from dozor.app.leading import recovery
from dozor.app.leading.alert_services import AlertServices, DestinationMonitor, send_the_last
from dozor.app.leading.alerting import (
    build_alert_handler,
    build_dispatcher,
    build_incident_manager,
    build_renderer,
)
from dozor.app.leading.monitoring import build_monitors
from dozor.app.leading.pools import adopt_runs, build_pool_runs, distribute_of, parts_of, run_fence, wakes_of
from dozor.app.leading.replica_monitor import ReplicaMonitor, UsedConfigurations
from dozor.app.leading.supervision import build_supervisor
from dozor.app.leading.telegram import TelegramSide
from dozor.app.services import Services
from dozor.app.surroundings import VERSION, LeaderTerm, Surroundings, Teardown
from dozor.config import Config
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.alert_settings import oncall, routed_places
from dozor.control.commands.commands import COMMANDS_CHANNEL
from dozor.control.commands.executor import CommandExecutor
from dozor.control.readiness import HealthSnapshot, Readiness, evaluate
from dozor.control.reload import Reloader
from dozor.errors import DatabaseUnavailableError, DozorError, RunHungError, SupersededError
from dozor.language import msg
from dozor.process.lifecycle import Cleanups
from dozor.process.threads import in_own_thread
from dozor.storage.journal import NO_HOOKS, NO_STATES, Commit, Journal, JournalHooks, StateSource
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.listen import listening
from dozor.storage.postgres.pool import Pool
from dozor.storage.postgres.pools import Pools
from dozor.storage.retention import run_pruner
from dozor.storage.spool import Spool
from dozor.supervision.monitoring.monitors import Monitors
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask, id_of
from dozor.supervision.telemetry.metrics import RunMetrics

if TYPE_CHECKING:
    from dozor.web.sources import Sources as WebSources

OVERTAKEN = "outage file"
"""Subject of the incident about messages that a former leader sent from memory."""


class LeadingPart:
    """`start` it, then `stop` what `cleanups` hold. `term` None: without a cluster."""

    def __init__(self, around: Surroundings, cleanups: Cleanups, term: LeaderTerm | None = None) -> None:
        self._around = around
        self._cleanups = cleanups
        self._term = term
        self.config = around.config
        self.redactor = around.redactor
        self._clock = around.clock
        self._deliveries = around.deliveries
        self._enabled, self._specs = around.enabled, around.specs
        self.failed = around.failed
        self._used = UsedConfigurations("" if term is None else around.digest)
        self.superseded = asyncio.Event()
        """Set when a transaction was refused because another replica leads."""
        self.teardown = Teardown.WRITE
        self._serving = False
        self._cuts: list[Callable[[], Awaitable[None]]] = []
        self.unstopped: tuple[str, ...] = ()
        """Tasks whose run would not end when the runner did: what they hold is not let go."""
        self._states = NO_STATES
        self._watching: tuple[Supervisor, IncidentManager] | None = None
        self.supervisor: Supervisor
        self.journal: Journal
        self.incident_manager: IncidentManager
        self.dispatcher: Dispatcher
        self.services: Services

    async def start(self) -> None:
        """Lead: with the lock of the session, or for the term. Raises what opening the database raises."""
        database = self._around.database
        tracing = self._open_tracing()
        spool, direct_sends = await self._spool(), DirectSends()
        self._spool_file, self._direct_sends = spool, direct_sends
        journal = await self._open_journal(database, tracing, spool, direct_sends)
        pools = await self._open_pools(database)
        telegram = await self._open_telegram(pools.core)
        recovered = await self._recover(journal, spool, direct_sends)
        if self._term is not None:
            await self._term.held.read(pools.core)
        manager = await self._build_incident_manager(journal, tracing)
        self._pool_runs = build_pool_runs(self._term, self.config, pools.core, journal, manager, self._clock)
        self.supervisor = supervisor = build_supervisor(
            self._specs,
            self.config,
            manager,
            recovered,
            journal=journal,
            pools=pools,
            dsn=database.dsn,
            clock=self._clock,
            redact=self.redactor.redact,
            grace=self._around.grace,
            give_up=self._give_up,
            held=None if self._term is None else self._term.held,
            distributor=self._pool_runs,
            fence=run_fence(self._term, self.config),
            deadlines=None if self._term is None else self._term.window.children,
        )
        adopt_runs(self._pool_runs, recovered, supervisor)
        reports = RunnerReports(manager, self._clock)
        self._states = StateSource(take_checkpoint=supervisor.take_checkpoint, dropped=reports.dropped)
        self._watching = (supervisor, manager)
        monitors = build_monitors(self.config, supervisor, manager, self._clock, pools, self.redactor.redact)
        renderer = build_renderer(self.config, self._clock, manager, telegram.name_of)
        self.dispatcher = dispatcher = build_dispatcher(
            pools.core,
            renderer,
            journal,
            self._clock,
            direct_sends=direct_sends,
            on_attempt=[self._deliveries.sent, *([] if tracing is None else [tracing.delivery])],
            on_dead=DestinationMonitor(self.config.telegram, manager, routed_places(self.config)).changed,
        )
        reloader = self._build_reloader(supervisor, manager, pools.core, database)
        await self._build_executor(pools.core, journal, supervisor, manager, reloader)
        alert_services = AlertServices(
            config=self.config,
            pool=pools.core,
            manager=manager,
            journal=journal,
            supervisor=supervisor,
            dispatcher=dispatcher,
            words=renderer,
            clock=self._clock,
            spool=spool,
            well=lambda: self.readiness().ready,
            may_act=surroundings.may_act(self._term),
        )
        services = self._build_services(database, pools.core, telegram, alert_services, monitors, reloader)
        journal.health.subscribe(lambda up: self._database_changed(database, up=up))
        now = self._clock.now()
        report = await recovery.startup_report(journal, pools.core, supervisor.tasks, recovered, now)
        recovery.say_in_the_log(report, supervisor.tasks)
        await self._around.warming  # the services put alerts into words on the loop
        monitors.start()
        self._cleanups.add("watchdog", monitors.stop)
        services.start()
        self._serving = True
        self._cleanups.add("services", services.stop)
        self._cleanups.add(msg("log-part-messages"), self._send_the_last)
        await recovery.act_on_crashes(supervisor, journal, recovered.crashes)
        supervisor.start()
        self._cleanups.add(msg("log-part-runs"), self._stop_supervising)
        self._report_overtaken(manager)
        reports.started(supervisor, report, silent=self._term is not None)
        self._say_started(journal, telegram)

    # -- the steps of the start; what a step opens is closed in the reverse order

    def _open_tracing(self) -> Tracing | None:
        tracing = open_tracing(VERSION, self._clock)
        if tracing is not None:
            self._cleanups.add("traces", tracing.close)
        return tracing

    async def _spool(self) -> Spool:
        return Spool(await asyncio.shield(self._around.outage_file))

    async def _open_journal(
        self, database: Database, tracing: Tracing | None, spool: Spool, direct_sends: DirectSends
    ) -> Journal:
        """Without a cluster: take the lock. From here on no other runner works on this database."""
        hooks = JournalHooks(
            tried=lambda: direct_sends.tried,
            written=spool.remove,
            appended=NO_HOOKS.appended if tracing is None else tracing.incidents,
            distribute=distribute_of(self._term),
        )
        if self._term is None:
            session, wait = database.session_dsn or database.dsn, self._around.wait
            self.journal = await Journal.open(session, VERSION, self._clock, wait=wait, hooks=hooks)
        else:
            self.journal = await Journal.open_fenced(database.dsn, self._term.fence, self._clock, hooks=hooks)
        self._cleanups.add("journal", self._close_journal)
        self._cuts.append(self._abandon_journal)
        return self.journal

    async def _open_pools(self, database: Database) -> Pools:
        self.pools = await Pools.open(
            database.dsn,
            self.config.database.pools,
            self.config.queried_dependencies,
            self._clock.now,
            None if self._term is None else self._term.fence,
        )
        self._cleanups.add(msg("log-part-pool"), self.pools.close)
        self._cuts.append(self.pools.close)
        return self.pools

    async def _open_telegram(self, pool: Pool) -> TelegramSide:
        self._telegram = TelegramSide(self.config, pool, self._clock, surroundings.may_act(self._term))
        self._cleanups.add("telegram", self._telegram.close)
        await self._telegram.read_names()
        return self._telegram

    async def _recover(
        self, journal: Journal, spool: Spool, direct_sends: DirectSends
    ) -> recovery.RecoveredState:
        """What the runner before this one has left."""
        self._sent_when_overtaken = await recovery.replay_spool(journal, spool, direct_sends)
        recovered = await recovery.read_recovered(
            journal.connection,
            self._enabled,
            self._specs,
            journal.registration.runner_id,
            self._clock.now(),
            cluster=self._term is not None,
            clean=(before := journal.registration.before) is not None and before.clean,
        )
        journal.append(Commit(runs=recovered.lost))
        return recovered

    async def _build_incident_manager(self, journal: Journal, tracing: Tracing | None) -> IncidentManager:
        count = len(self._specs)
        self._run_metrics = RunMetrics(count) if tracing is None else tracing.measures(count)
        self.incident_manager = await build_incident_manager(
            journal.connection, self.config, self._enabled, journal, self._clock, self._run_metrics
        )
        return self.incident_manager

    def _build_reloader(
        self, supervisor: Supervisor, manager: IncidentManager, pool: Pool, database: Database
    ) -> Reloader:
        self.reloader = Reloader(
            self.config, supervisor, manager, pool, self._clock, self.redactor, self._use, database
        )
        return self.reloader

    async def _build_executor(
        self,
        pool: Pool,
        journal: Journal,
        supervisor: Supervisor,
        manager: IncidentManager,
        reloader: Reloader,
    ) -> None:
        self.executor = CommandExecutor(
            pool,
            journal,
            supervisor,
            self._clock,
            frozenset(task.name for task in self.config.tasks if not task.enabled),
            await build_alert_handler(journal.connection, manager, self._clock),
            reloader.reload,
            surroundings.may_act(self._term),
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
        wakes = {COMMANDS_CHANNEL: self.executor.wake} | wakes_of(self._pool_runs)
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "journal": self._write,
            "commands": self.executor.run,
            "listener": listening(database.session_dsn, wakes, self._clock),
            "reminders": self._remind,
            "housekeeping": lambda: run_pruner(pool),
            "dispatcher": self._dispatch,
            **({} if self._term is None else self._cluster_parts(self._term, pool)),
            **parts_of(self._pool_runs, self.supervisor),
            **alert_services.build(),
            **monitors.parts(),
        }
        if self.config.supervision.watch_config:
            parts["config file"] = reloader.watch_file
        if self.config.web.listen is not None:
            parts["web"] = self._serve
        parts |= telegram.parts(self.incident_manager)
        self.services = Services(parts, self._clock, self.redactor.redact)
        return self.services

    def _report_overtaken(self, manager: IncidentManager) -> None:
        """What this process sent during an outage, if another one has led since: only it has a record."""
        sent = self._sent_when_overtaken
        if sent:
            text = msg("log-overtaken-sent", messages="\n".join(sent))
            manager.open_incident(IncidentKind.CHECKER, OVERTAKEN, set_text(AlertData(), text))

    def _cluster_parts(self, term: LeaderTerm, pool: Pool) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "handover": partial(term.held.follow, pool),
            "replicas": ReplicaMonitor(self.incident_manager, term.view, self._used).run,
        }

    def _say_started(self, journal: Journal, telegram: TelegramSide) -> None:
        for hint in self.config.hints:
            logger.info("{}", self.redactor.redact(hint))
        number, tasks = journal.registration.runner_id, len(self._specs)
        logger.info(msg("log-on-duty", version=VERSION, tasks=tasks, runner=number))
        telegram.say_if_absent()

    # -- parts

    def _use(self, config: Config) -> None:
        """After a reload."""
        self.config = config
        if self._term is not None:
            self._used.use(config)
        self.executor.disabled = frozenset(task.name for task in config.tasks if not task.enabled)
        self._telegram.use_people(config.telegram)
        self._around.configured(config)

    def _give_up(self, task: SupervisedTask) -> None:
        """`on_hang: exit`: the service manager starts the process anew."""
        if not self.failed.done():
            self.failed.set_result(RunHungError(msg("error-run-hung", name=task.spec.name)))

    async def _write(self) -> None:
        try:
            await self.journal.run(self._states)
        except DozorError as error:
            if isinstance(error, DatabaseUnavailableError):
                raise
            if self._term is not None and isinstance(error, SupersededError):
                self.superseded.set()
            elif not self.failed.done():
                self.failed.set_result(error)
            await asyncio.Event().wait()  # nothing may be written any more; the runner is about to end

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.incident_manager.tick(self.supervisor)

    async def _dispatch(self) -> None:
        await self._telegram.connect(self.dispatcher)
        await self.dispatcher.run()

    async def _serve(self) -> None:
        web = await in_own_thread(importlib.import_module, "dozor.web.server")
        if self._term is not None:
            await self._term.retired.wait()  # the standby's server had the port
        await web.serve(self.config.web.listen, self.web_sources(), ready=self._around.listening)

    def web_sources(self) -> WebSources:
        from dozor.web.sources import Sources, this_runner

        manager, web = self.incident_manager, self.config.web
        return Sources(
            clock=self._clock,
            pool=self.pools.web,
            supervisor=self.supervisor,
            journal=self.journal,
            vitals=self.vitals,
            measures=self._run_metrics,
            deliveries=self._deliveries,
            open_incidents=lambda: manager.open_incidents,
            runner=this_runner(self.journal.registration.runner_id, VERSION, self._around.started_at),
            language=self.config.language,
            token=web.token,
            public=web.public,
            hosts=web.hosts,
            urls=(web.public_url, self.config.telegram.webhook),
            timezone=self.config.timezone.key,
            on_call=lambda: manager.oncall.now(self._clock.now(), manager.overrides),
            silence=manager.silences.get,
            cluster=None if self._term is None else self._term.view,
            pool_runs=None if self._pool_runs is None else self._pool_runs.states,
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
            telegram_commands=self._telegram.takes_commands,
            telegram_problem=self._telegram.problem,
            telegram_polled_at=None if polled_at is None else at(polled_at),
            chat_refuses=self.dispatcher.refused,
            held_chats=self.dispatcher.holds,
            failing_parts={**self.services.failing, **surroundings.failing_beside(self._term)},
        )

    def details_for_the_log(self, task: str) -> dict[str, object]:
        """The present or last run and the open incident of `task`, as far as there are any."""
        if self._watching is None:
            return {}
        supervisor, manager = self._watching
        known: dict[str, object] = {"incident": next((i.id for i in manager.store.failures_of(task)), None)}
        supervised = supervisor.find(task)
        if supervised is not None:
            run = supervised.run
            last = supervised.last_ended if run is None else (run.remote, run.number, run.attempt)
            if last is not None:
                remote, number, attempt = last
                known["run_id"] = id_of(remote, self.journal.registration.runner_id, number)
                known["attempt"] = attempt
        return known

    def readiness(self) -> Readiness:
        return evaluate(self.vitals())

    # -- inside

    def _database_changed(self, database: Database, *, up: bool) -> None:
        self.supervisor.dependency_changed(up=up)
        if not up:
            database.revive()

    async def _stop_supervising(self) -> None:
        self.unstopped = await self.supervisor.stop(0.0 if self.teardown is Teardown.LOST else None)
        for name in self.unstopped:
            logger.error(msg("log-would-not-stop", name=name))

    async def _send_the_last(self) -> None:
        if self.teardown is Teardown.WRITE:
            await send_the_last(self.journal, self.dispatcher)

    async def write_all(self) -> None:
        """Write what waits, without the services; as a former leader it raises SupersededError."""
        while await self.journal.write(self._states):
            pass

    async def lose(self) -> None:
        """The lease is lost: cancel the runs, then end every session without waiting for the server."""
        self.teardown = Teardown.LOST
        if self._watching is not None:
            await self._stop_supervising()
        stopping = asyncio.create_task(self.stop_services())
        await asyncio.wait((stopping,), timeout=surroundings.SERVICES_SECONDS)
        for cut in self._cuts:
            await cut()
        await stopping

    async def stop_services(self) -> None:
        """Cancel all of them and wait for their ends; nothing if they have not been started."""
        if self._serving:
            await self.services.stop()

    async def _abandon_journal(self) -> None:
        await recovery.keep_unwritten(self.journal, self._spool_file, self._direct_sends)
        self.journal.abandon()

    async def _close_journal(self) -> None:
        if self.teardown is not Teardown.WRITE:
            self.journal.abandon()
            return
        try:
            async with asyncio.timeout(surroundings.FLUSH_SECONDS):
                await self.journal.close(self._states, clean=not self._around.has_failed)
        except (TimeoutError, DozorError) as error:
            self.journal.abandon()
            logger.error(msg("log-changes-lost", error=str(error) or msg("log-no-answer-in-time")))
