"""The public `Runner`: one leading part, or a member of a cluster that leads from time to time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.alerting.incidents.facts import fingerprint_of
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.notification import AlertData
from dozor.app.leading.part import LeadingPart
from dozor.app.leading.recovery import outage_file
from dozor.app.member import MEMBER_SECONDS, ClusterMember
from dozor.app.opening import Opened, is_small, load_now, open_in_background, opened
from dozor.app.services import Services
from dozor.app.surroundings import VERSION as VERSION
from dozor.app.surroundings import Surroundings
from dozor.clock import SteadyClock
from dozor.config import Config
from dozor.config.imports.checkers import Checker, examine_apart
from dozor.config.secrets import register_config_secrets
from dozor.config.values.incident_kinds import IncidentKind
from dozor.config.values.roles import Role
from dozor.control.commands.executor import CommandExecutor
from dozor.control.readiness import HealthSnapshot, Readiness, evaluate
from dozor.control.reload import Reloader
from dozor.errors import CommandRefusedError, DozorError
from dozor.language import Language, msg
from dozor.language.process import use_language
from dozor.language.translator import warm
from dozor.process.deadline_timer import AVAILABLE, DeadlineTimer
from dozor.process.lifecycle import Cleanups
from dozor.process.threads import in_own_thread
from dozor.redaction import Redactor
from dozor.storage.journal import Journal
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.migration_sets import sets_for
from dozor.storage.postgres.pools import Pools
from dozor.supervision.core.spec import with_unusable
from dozor.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from dozor.web.sources import Sources as WebSources


class Runner:
    """A runner inside any application: `async with Runner.from_config("config.yaml") as runner: ...`

    It takes no signals and does not touch the application's logging. The language of the configuration
    becomes that of the process: of Dozor's log lines and errors.

    With `cluster.enabled` it may stand by while another process leads; `leads` says which. No kernel timer
    ends the application when the lease is lost, so a run that blocks the event loop beyond it can overlap
    with one of the next leader; `failed` is set instead.
    """

    def __init__(
        self,
        config: Config | None,
        checkers: dict[str, Checker],
        *,
        path: Path = Path(),
        redactor: Redactor | None = None,
        wait: bool = False,
        grace: float = 10.0,
        unexamined: bool = False,
        timer: DeadlineTimer | None = None,
        role: Role | None = None,
    ) -> None:
        """`config` None: the file `path` is read when the runner is entered.

        `redactor`: hides the secrets of `config` already. `timer`: in a cluster it ends the process with the
        lease, so the process must be all Dozor's.
        """
        self.redactor = redactor or Redactor()
        self._path = path
        self._role = role
        self._wait = wait
        self._grace = grace
        self._timer = timer
        self._clock = SteadyClock()
        self._started_at = self._clock.now()
        self._cleanups = Cleanups()
        self._deliveries = DeliveryMetrics()
        self.failed: asyncio.Future[DozorError] = asyncio.Future()
        """Set when the runner cannot go on: another one has taken over, or its lease was lost with a run in
        progress, or a run hangs with `on_hang: exit`."""
        self.web_port: int | None = None
        """Where the web server listens, once it does."""
        self._leading: LeadingPart | None = None
        self._member: ClusterMember | None = None
        self._opened: Opened | None = None
        if config is not None:
            if redactor is None:
                register_config_secrets(config, self.redactor)
            self._use(opened(config, checkers, role, unexamined=unexamined))

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        *,
        wait: bool = False,
        grace: float = 10.0,
        role: Role | None = None,
        own_process: bool = False,
    ) -> Self:
        """Read the configuration and import the checkers. Raises ConfigError with every problem.

        A file above 8 KiB is read when the runner is entered, in a thread, so that the loop goes on: then
        entering raises the ConfigError. Checkers with `isolation: process` are imported in child processes
        only, when the runner is entered: that raises ConfigError as well. One whose import does not end stops
        its own task, with an incident.

        Call it where a loop runs. `wait`: stay in line while another runner works on the database.
        `grace`: seconds that runs in progress get at the end. `role`: of this process in a cluster (None:
        all); a ConfigError without `cluster.enabled`. `own_process`: the process is all Dozor's: in a
        cluster a kernel timer may end it with the lease, and the file is read at once.
        """
        path, redactor = Path(path), Redactor()
        if not own_process and not is_small(path):
            return cls(None, {}, path=path, wait=wait, grace=grace, role=role)
        loaded = load_now(path, redactor, role)
        armed = own_process and loaded.config.cluster.enabled and AVAILABLE
        return cls(
            loaded.config,
            loaded.checkers,
            path=path,
            redactor=redactor,
            wait=wait,
            grace=grace,
            unexamined=loaded.unexamined,
            timer=DeadlineTimer() if armed else None,
            role=role,
        )

    def _use(self, found: Opened) -> None:
        self._opened = found
        self._config = found.config
        use_language(found.config.language)

    @property
    def config(self) -> Config:
        """The configuration, also after a reload. One that would be read on entering is read at once."""
        if self._opened is None:
            loaded = load_now(self._path, self.redactor, self._role)
            self._use(opened(loaded.config, loaded.checkers, self._role, unexamined=loaded.unexamined))
        return self._config

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
        """No new runs, a grace period for those in progress, then everything is written down.

        In a cluster everything is written and the lease resigned first, so that another one leads at once.
        """
        await self._cleanups.run()

    async def _start(self) -> None:
        found = self._opened
        if found is None:
            found = await open_in_background(self._path, self.redactor, self._role)
            self._use(found)
        specs, assigned = found.specs, found.assigned
        if found.unexamined:
            hung = await in_own_thread(examine_apart, self.config)
            specs, assigned = with_unusable(specs, hung), with_unusable(assigned, hung)
        warming = asyncio.create_task(in_own_thread(warm, self._languages()))
        around = Surroundings(
            config=self.config,
            enabled=[task for task in self.config.tasks if task.enabled],
            specs=specs,
            redactor=self.redactor,
            clock=self._clock,
            started_at=self._started_at,
            grace=self._grace,
            wait=self._wait,
            database=await self._open_database(),
            deliveries=self._deliveries,
            failed=self.failed,
            warming=warming,
            outage_file=asyncio.create_task(in_own_thread(outage_file, self.config)),
            listening=self._listening,
            configured=self._configured,
        )
        if self.config.cluster.enabled:
            role = self._role or Role.ALL
            await in_own_thread(lambda: around.digest)  # cached; long with thousands of tasks
            self._member = member = ClusterMember(around, self._timer, role, assigned)
            self._cleanups.add("cluster", member.stop, seconds=self._grace + MEMBER_SECONDS)
            member.start()
        else:
            self._leading = LeadingPart(around, self._cleanups)
            await self._leading.start()

    def _languages(self) -> tuple[Language, ...]:
        """In which texts may be needed: with a bot, that of each person."""
        own = self.config.language
        return (own, *Language) if self.config.telegram.token is not None else (own,)

    async def _open_database(self) -> Database:
        """The server, with its schema up to date."""
        wait = self._wait or self.config.cluster.enabled
        database = await Database.open(self.config.database, wait=wait)
        self._cleanups.add(msg("log-part-server"), database.close)
        await database.prepare(await in_own_thread(sets_for, self.config))
        return database

    def _listening(self, port: int) -> None:
        self.web_port = port

    def _configured(self, config: Config) -> None:
        """After a reload."""
        self._config = config

    # -- what others ask

    @property
    def leads(self) -> bool:
        """Does this process supervise at present? Always, without a cluster."""
        return self._present is not None

    @property
    def leading(self) -> LeadingPart:
        """What supervises. Raises CommandRefusedError while this process stands by."""
        found = self._present
        if found is None:
            raise CommandRefusedError(msg("error-stands-by"))
        return found

    @property
    def _present(self) -> LeadingPart | None:
        return self._leading if self._member is None else self._member.leading

    @property
    def unstopped(self) -> tuple[str, ...]:
        """Tasks whose run would not end when the runner did: what they hold is not let go."""
        if self._member is not None:
            return self._member.unstopped
        return () if self._leading is None else self._leading.unstopped

    @property
    def supervisor(self) -> Supervisor:
        return self.leading.supervisor

    @property
    def journal(self) -> Journal:
        return self.leading.journal

    @property
    def incident_manager(self) -> IncidentManager:
        return self.leading.incident_manager

    @property
    def dispatcher(self) -> Dispatcher:
        return self.leading.dispatcher

    @property
    def services(self) -> Services:
        return self.leading.services

    @property
    def executor(self) -> CommandExecutor:
        return self.leading.executor

    @property
    def pools(self) -> Pools:
        return self.leading.pools

    @property
    def reloader(self) -> Reloader:
        return self.leading.reloader

    def reload_soon(self, by: str) -> None:
        """Reload in the background; for a signal handler. A standby reads the file when it begins to lead."""
        if self._member is not None:
            self._member.reload_soon(by)
        elif self._leading is not None:
            self._leading.reloader.soon(by)

    def web_sources(self) -> WebSources:
        return self.leading.web_sources()

    def vitals(self) -> HealthSnapshot:
        """What `/healthz` and `/readyz` are judged by. Raises CommandRefusedError before it is entered."""
        if self._member is not None and self._member.leading is None:
            return self._member.vitals()
        return self.leading.vitals()

    def readiness(self) -> Readiness:
        """Can it do its job? A standby can while the database answers and a leader renews its lease."""
        return evaluate(self.vitals())

    def report_escape(self, text: str) -> None:
        """An error that no task could be held responsible for, as an incident."""
        if not self.leads:
            return  # it is in the log
        text = self.redactor.redact(text)
        facts = set_text(AlertData(), text)
        self.incident_manager.open_incident(IncidentKind.CHECKER, fingerprint_of(text), facts)

    def details_for_the_log(self, task: str) -> dict[str, object]:
        """The present or last run and the open incident of `task`, as far as there are any."""
        present = self._present
        return {} if present is None else present.details_for_the_log(task)
