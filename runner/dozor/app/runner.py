"""The composition root: builds everything from the configuration, in a straight line."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from loguru import logger

from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.alerting.incidents.facts import fingerprint_of
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.incident import IncidentKind
from dozor.alerting.model.notification import Facts
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.alerting.tracing import open_tracing
from dozor.app import recovery as start
from dozor.app.alert_services import AlertServices
from dozor.app.alerting import build_alert_handler, build_incident_manager
from dozor.app.monitoring import build_monitors
from dozor.app.services import Services
from dozor.app.telegram import TelegramSide
from dozor.clock import SteadyClock
from dozor.config import Config, load
from dozor.config.imports import Checker, import_checkers
from dozor.config.secrets import register_config_secrets
from dozor.control.commands.commands import COMMANDS_CHANNEL
from dozor.control.commands.executor import CommandExecutor
from dozor.control.readiness import HealthSnapshot, Readiness, evaluate
from dozor.control.reload import Reloader
from dozor.errors import DatabaseUnavailableError, DozorError, RunHungError
from dozor.language import Language, msg
from dozor.language.process import use_language
from dozor.language.translator import Translator, warm
from dozor.lifecycle import Cleanups
from dozor.redaction import Redactor
from dozor.storage.journal import Commit, Journal
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.listen import Listener
from dozor.storage.postgres.migration_sets import sets_for
from dozor.storage.postgres.pools import Pools
from dozor.storage.retention import run_pruner
from dozor.storage.spool import NAME as SPOOL
from dozor.storage.spool import Spool
from dozor.supervision.core.spec import TaskSpec, from_config
from dozor.supervision.execution.cancellation import Canceller
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.metrics import RunMetrics

if TYPE_CHECKING:
    from dozor.web.sources import Sources as WebSources

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
        self, config: Config, checkers: dict[str, Checker], *, wait: bool = False, grace: float = 10.0
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
        self._specs: list[TaskSpec] = [from_config(task, checkers[task.name]) for task in self._enabled]
        self._translator = Translator(config.language)
        self.unstopped: tuple[str, ...] = ()
        """Tasks whose run would not end when the runner did: what they hold is not let go."""
        self.failed: asyncio.Future[DozorError] = asyncio.Future()
        """Set when the runner cannot go on: another one has taken over."""
        self._watching: tuple[Supervisor, IncidentManager] | None = None
        self.web_port: int | None = None
        """Where the web server listens, once it does."""
        self.supervisor: Supervisor
        self.journal: Journal
        self.watch: IncidentManager
        self.dispatcher: Dispatcher
        self.services: Services

    @classmethod
    def from_config(cls, path: str | Path, *, wait: bool = False, grace: float = 10.0) -> Self:
        """Read the configuration and import the checkers. Raises ConfigError with every problem.

        Call it where a loop runs. `wait`: stay in line while another runner works on the database.
        `grace`: seconds that runs in progress get at the end.
        """
        config = load(Path(path))
        return cls(config, import_checkers(config), wait=wait, grace=grace)

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
        config, clock = self.config, self._clock
        languages = self._languages()
        warming = asyncio.get_running_loop().run_in_executor(None, warm, languages)
        database = await Database.open(config.database, wait=self._wait)
        self._cleanups.add(msg("log-part-server"), database.close)
        await database.prepare(await asyncio.to_thread(sets_for, config))
        self.journal = journal = await Journal.open(database.dsn, VERSION, clock, wait=self._wait)
        self._cleanups.add("journal", self._close_journal)
        sizes = config.database.pools
        self.pools = pools = await Pools.open(database.dsn, sizes, config.queried_dependencies, clock.now)
        self._cleanups.add(msg("log-part-pool"), pools.close)
        pool = pools.core
        self._telegram = telegram = TelegramSide(config, pool, clock)
        tracing = open_tracing(VERSION, clock)
        if tracing is not None:
            self._cleanups.add("traces", tracing.close)
        self._cleanups.add("telegram", telegram.close)

        connection = journal.connection
        generation = journal.registration.runner_id
        spool = Spool(config.path.parent / config.database.data_dir.parent / SPOOL)
        journal.on_written = spool.remove
        sent_before = await start.replay_spool(journal, spool)
        left = await start.read_recovered(connection, self._enabled, self._specs, generation, clock.now())
        journal.append(Commit(runs=left.lost))
        count = len(self._specs)
        self._measures = RunMetrics(count) if tracing is None else tracing.measures(count)
        self.watch = await build_incident_manager(
            connection, config, self._enabled, journal, clock, self._measures
        )
        self.supervisor = supervisor = Supervisor(
            self._specs,
            observer=self.watch,
            clock=clock,
            log=SupervisionLog(config.language, self.redactor.redact),
            generation=generation,
            stored=left.states,
            checkers=pools.checkers,
            is_outage=journal.health.explains,
            redact=self.redactor.redact,
            grace=self._grace,
            launch=Launch(
                dsn=database.dsn,
                folder=config.path.parent,
                pool_size=sizes.process,
                acquire_timeout=sizes.acquire_timeout,
            ),
            canceller=Canceller(self.watch, patience=config.supervision.cancel_patience),
        )
        supervisor.canceller.give_up = self._give_up
        vigil = build_monitors(config, supervisor, self.watch, clock, pools, self.redactor.redact)
        self._console = ConsoleTransport()
        silences = self.watch.teller.silences
        self._wording = MessageRenderer(
            self._translator,
            config.timezone,
            clock,
            silences.get,
            name_of=telegram.name_of,
            public_url=config.web.public_url,
        )
        self.dispatcher = dispatcher = Dispatcher(pool, self._console, self._console, self._wording, clock)
        self.executor = CommandExecutor(
            pool,
            journal,
            supervisor,
            clock,
            frozenset(t.name for t in config.tasks if not t.enabled),
            await build_alert_handler(connection, self.watch, clock),
        )
        dispatcher.on_sent = self._deliveries.sent
        if tracing is not None:
            tracing.follow(dispatcher, journal)
        alert_parts = AlertServices(
            config=config,
            pool=pool,
            watch=self.watch,
            journal=journal,
            supervisor=supervisor,
            dispatcher=dispatcher,
            words=self._wording,
            clock=clock,
            spool=spool,
            well=lambda: self.readiness().ready,
        )
        dispatcher.on_dead = alert_parts.destination_died
        journal.checkpoint = supervisor.take_checkpoint
        journal.on_notifications = dispatcher.wake
        dispatcher.behind = lambda: journal.behind
        dispatcher.directly.take_up(sent_before)
        journal.tried = lambda: dispatcher.directly.tried
        journal.on_dropped = self.watch.dropped
        journal.health.changed = lambda up: self._database_changed(database, up=up)
        found = await start.startup_report(journal, pool, supervisor.tasks, left, clock.now())
        start.say_in_the_log(found, supervisor.tasks)

        self._watching = (supervisor, self.watch)
        supervisor.start()
        self.watch.started(supervisor, found)
        self.reloader = reloader = Reloader(
            config, supervisor, self.watch, pool, clock, self.redactor, self._use, database
        )
        self.executor.reload = reloader.reload
        listener = Listener(database.dsn, {COMMANDS_CHANNEL: self.executor.wake}, clock)
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "journal": self._write,
            "commands": self.executor.run,
            "listener": listener.run,
            "reminders": self._remind,
            "housekeeping": lambda: run_pruner(pool),
            "dispatcher": self._dispatch,
            **alert_parts.build(),
            **vigil.parts(),
        }
        if config.supervision.watch_config:
            parts["config file"] = reloader.watch_file
        if config.web.listen is not None:
            parts["web"] = self._serve
        parts |= telegram.parts(self.watch)
        self.services = Services(parts, clock, self.redactor.redact)
        vigil.others = (self.services.supervisor,)
        await warming  # the parts put alerts into words on the loop
        vigil.start()
        self._cleanups.add("watchdog", vigil.stop)
        self._cleanups.add("services", self.services.stop)
        self._cleanups.add(msg("log-part-messages"), self._tell_the_last)
        self._cleanups.add(msg("log-part-runs"), self._stop_supervising)
        self.services.start()
        for hint in config.hints:
            logger.info("{}", self.redactor.redact(hint))
        logger.info(
            msg(
                "log-on-duty",
                version=VERSION,
                tasks=len(self._specs),
                runner=self.journal.registration.runner_id,
            ),
        )
        telegram.say_if_absent()

    # -- parts

    def _languages(self) -> tuple[Language, ...]:
        """In which texts may be needed: with a bot, that of each person."""
        own = self.config.language
        return (own, *Language) if self.config.telegram.token is not None else (own,)

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
            await self.journal.run()
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
        web = await asyncio.to_thread(importlib.import_module, "dozor.web.server")
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
            measures=self._measures,
            deliveries=self._deliveries,
            open_incidents=lambda: self.watch.open_incidents,
            runner=this_runner(self.journal.registration.runner_id, VERSION, self._started_at),
            language=self.config.language,
            token=self.config.web.token,
            timezone=self.config.timezone.key,
            on_call=lambda: self.watch.oncall.now(self._clock.now(), self.watch.overrides),
            silence=self.watch.teller.silences.get,
            name_of=self._telegram.name_of,
            webhook=self._telegram.webhook,
        )

    # -- what others ask

    def vitals(self) -> HealthSnapshot:
        """What `/healthz` and `/readyz` are judged by."""
        return HealthSnapshot(
            now=self._clock.now(),
            supervision_late=self.supervisor.late_by(self._clock.now()),
            database_up=self.journal.health.up,
            database_down_since=self.journal.health.down_since,
            journal_written_at=self.journal.last_written_at,
            dispatcher_at=self.dispatcher.last_progress_at,
            commands_at=self.executor.last_progress_at,
            telegram_wanted=self._telegram.wanted,
            telegram_problem=self._telegram.problem,
            telegram_polled_at=self._telegram.polled_at,
            chat_refuses=self.dispatcher.refused,
            failing_parts=dict(self.services.failing),
        )

    def report_escape(self, text: str) -> None:
        """An error that no task could be held responsible for, as an incident."""
        text = self.redactor.redact(text)
        facts = set_text(Facts(), text)
        self.watch.open_incident(IncidentKind.CHECKER, fingerprint_of(text), facts)

    def details_for_the_log(self, task: str) -> dict[str, object]:
        """The present or last run and the open incident of `task`, as far as there are any."""
        if self._watching is None:
            return {}
        supervisor, watch = self._watching
        known: dict[str, object] = {"incident": next((i.id for i in watch.book.failures_of(task)), None)}
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
                await self.journal.close(clean=not self.failed.done())
        except (TimeoutError, DozorError) as error:
            self.journal.abandon()
            logger.error(msg("log-changes-lost", error=str(error) or msg("log-no-answer-in-time")))
