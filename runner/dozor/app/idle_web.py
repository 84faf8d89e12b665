"""The web server of a process of a cluster that does not lead: it shows what the database holds."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.alerting.model.incident import Incident, from_row
from dozor.app.services import Services
from dozor.app.surroundings import VERSION, Surroundings
from dozor.cluster.replicas import ReplicaRole
from dozor.cluster.view import ClusterView
from dozor.control.readiness import HealthSnapshot
from dozor.process.threads import in_own_thread
from dozor.storage.postgres.pool import Pool, create_pool, of_database
from dozor.storage.tables import incidents, tasks
from dozor.storage.tables.notifications import NotificationRow
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.persistence import from_row as state_from_row
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.metrics import RunMetrics

REFRESH_EVERY = 1.0
"""Seconds between two looks at the tables."""


def idle_snapshot(
    now: float, *, database_up: bool, database_down_since: float | None, failing_parts: Mapping[str, str]
) -> HealthSnapshot:
    """Of a process that supervises nothing: a standby or a worker. Times are seconds since the epoch."""
    return HealthSnapshot(
        now=now,
        database_up=database_up,
        database_down_since=database_down_since,
        journal_written_at=now,
        dispatcher_at=now,
        commands_at=now,
        telegram_wanted=False,
        telegram_problem=None,
        telegram_polled_at=None,
        chat_refuses=None,
        failing_parts=dict(failing_parts),
    )


class IdleWeb:
    """`start` it, and `stop` it. Without `web.listen` it does nothing.

    `vitals`: what `/readyz` is judged by.
    """

    def __init__(
        self,
        around: Surroundings,
        view: ClusterView,
        role: ReplicaRole,
        vitals: Callable[[], HealthSnapshot],
    ) -> None:
        self._around = around
        self._view = view
        self._role = role
        self._vitals = vitals
        self.shown = ShownTasks(around)
        self._incidents: tuple[Incident, ...] = ()
        self.refreshed = around.config.web.listen is None
        """Whether the tables were read when they were last asked for; without a web server nobody asks."""
        self._pool: Pool | None = None
        self._services: Services | None = None

    async def start(self) -> None:
        around = self._around
        if around.config.web.listen is None:
            return
        size = around.config.database.pools.web
        self._pool = await create_pool(
            around.database.dsn, min_size=0, max_size=size, application_name="dozor web"
        )
        parts: dict[str, Callable[[], Awaitable[None]]] = {"web": self._serve, "tables": self._follow}
        self._services = Services(parts, around.clock, around.redactor.redact)
        self._services.start()

    async def stop(self) -> None:
        if self._services is not None:
            await self._services.stop()
        if self._pool is not None:
            self._pool.terminate()

    async def _follow(self) -> None:
        """Read the tables again and again."""
        assert self._pool is not None
        while True:
            try:
                async with asyncio.timeout(5.0), self._pool.acquire() as connection:
                    rows = await tasks.load(connection, [task.spec.name for task in self.shown.tasks])
                    self.shown.show(rows.values())
                    found = await incidents.read_open(connection)
                    self._incidents = tuple(from_row(row) for row in found)
                    self.refreshed = True
            except Exception as error:
                if not (isinstance(error, TimeoutError) or of_database(error)):
                    raise
                self.refreshed = False
            await asyncio.sleep(REFRESH_EVERY)

    async def _serve(self) -> None:
        web = await in_own_thread(importlib.import_module, "dozor.web.server")
        sources = await in_own_thread(importlib.import_module, "dozor.web.sources")
        around, config = self._around, self._around.config
        shown = sources.Sources(
            clock=around.clock,
            pool=self._pool,
            supervisor=self.shown,
            journal=NothingUnwritten(),
            vitals=self._vitals,
            measures=RunMetrics(len(around.specs)),
            deliveries=DeliveryMetrics(),
            open_incidents=lambda: self._incidents,
            runner=sources.this_runner(0, VERSION, around.started_at, role=self._role.value),
            language=config.language,
            token=config.web.token,
            public=config.web.public,
            hosts=config.web.hosts,
            urls=(config.web.public_url, config.telegram.webhook),
            timezone=config.timezone.key,
            cluster=self._view,
        )
        await web.serve(config.web.listen, shown, ready=around.listening)


class ShownTasks(Supervisor):
    """The tasks of the configuration in the states of the database. It is never started."""

    def __init__(self, around: Surroundings) -> None:
        redact = around.redactor.redact
        super().__init__(
            around.specs,
            observer=_NobodyObserves(),
            clock=around.clock,
            log=SupervisionLog(around.config.language, redact),
            redact=redact,
        )
        self._now = around.clock.now

    def show(self, rows: Iterable[tasks.TaskRow]) -> None:
        """As they were written last."""
        for row in rows:
            task = self.find(row.name)
            if task is not None:
                task.state = state_from_row(row)

    def use(self, specs: Iterable[TaskSpec], changed: Collection[str]) -> None:
        """Show these tasks from now on. `changed`: names of those that are not as before."""
        wanted = {spec.name: spec for spec in specs}
        now = self._now()
        for task in self.tasks:
            name = task.spec.name
            if name not in wanted:
                self.task_changes.remove(name)
            elif name in changed:
                self.task_changes.replace(wanted[name], now)
        for name, spec in wanted.items():
            if self.find(name) is None:
                self.task_changes.add(spec, None, now)

    @property
    def last_tick_at(self) -> float:
        return self._now()

    def late_by(self, now: float) -> float:
        return 0.0


class NothingUnwritten:
    """In place of the journal: a process that does not lead writes nothing."""

    backlog = 0
    unwritten_notifications: tuple[NotificationRow, ...] = ()


class _NobodyObserves:
    def transition(self, transition: Transition) -> None:
        """Nothing changes here."""

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        """Nothing runs here."""

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        """Nothing runs here."""
