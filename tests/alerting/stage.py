"""An incident manager with its journal on a real database, and tasks whose events a test plays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.incidents.startup import startup_report
from dozor.alerting.model.notification import AlertData
from dozor.alerting.reports.runner import RunnerReports
from dozor.control.commands.alert_handler import AlertCommandHandler
from dozor.control.commands.commands import AlertCommand, CommandReason
from dozor.storage.journal import Journal, JournalHooks
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import incidents
from dozor.supervision.core.policy import Policy
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.metrics import RunMetrics
from tests.alerting.story import ManualClock, Story, Tasks

NAME = "presale_checker"


def hooks(direct_sends: DirectSends) -> JournalHooks:
    """As in the runner."""
    return JournalHooks(tried=lambda: direct_sends.tried)


class Stage:
    """An incident manager with its journal on a real database."""

    def __init__(
        self, dsn: str, journal: Journal, clock: ManualClock, pool: Pool, direct_sends: DirectSends
    ) -> None:
        self.dsn, self.journal, self.clock, self.pool = dsn, journal, clock, pool
        self.direct_sends = direct_sends
        self.options: dict[str, Any] = {}
        self.began = clock.at
        self._context: AlertCommandHandler | None = None
        self.manager = self.new_manager([], 0)
        self.tasks = Tasks()
        self.story = self.new_task(NAME)

    def furnish(self, **options: Any) -> None:
        """An incident manager with routes, levels, people, quiet hours."""
        self.options = options
        self.manager = self.story.manager = self.new_manager([], 0)

    def new_task(self, name: str, policy: Policy | None = None) -> Story:
        story = Story(self.manager, self.clock, name, policy)
        self.tasks.all[name] = story.task
        return story

    def ask(self, name: AlertCommand, target: str, **args: object) -> CommandReason:
        """A person's command, carried out."""
        if self._context is None or self._context._manager is not self.manager:
            self._context = AlertCommandHandler(self.manager, self.clock)
        return self._context.execute(name, target, args, "telegram:111", target in self.tasks.all)

    def pass_time(self, seconds: float, step: float = 60.0) -> None:
        """The incident manager looks at the clock every `step` seconds."""
        until = self.clock.at + seconds
        while self.clock.at < until:
            self.clock.at = min(until, self.clock.at + step)
            self.manager.tick(self.supervisor)

    def new_manager(self, opened: list[Any], last_id: int) -> IncidentManager:
        return IncidentManager(self.journal, self.clock, {}, opened, last_id, RunMetrics(2), **self.options)

    async def again(self, *, killed: bool = False) -> None:
        """As after a restart of the runner: what is open is read from the database."""
        await self.journal.write()
        if killed:
            self.journal.abandon()
        else:
            await self.journal.close()
        self.journal = await Journal.open(
            self.dsn, "test", self.clock, wait=killed, hooks=hooks(self.direct_sends)
        )
        connection = self.journal.connection
        opened = await incidents.read_open(connection)
        self.manager = self.story.manager = self.new_manager(opened, await incidents.last_id(connection))

    def start(self, **more: Any) -> AlertData:
        """Say what the start has found (`more`: facts to find instead); what that was."""
        registration, now = self.journal.registration, self.clock.now()
        found = startup_report(registration, self.supervisor.tasks, {}, lost=(), pending=0, now=now)
        found = replace(found, **more)
        RunnerReports(self.manager, self.clock).started(self.supervisor, found)
        return found

    @property
    def supervisor(self) -> Supervisor:
        return cast(Supervisor, self.tasks)

    async def told(self) -> list[tuple[str, str, str | None, int | None]]:
        await self.journal.write()
        rows = await self.pool.fetch(
            "SELECT kind, severity, task, incident_id FROM dozor.notifications ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def incidents(self) -> list[tuple[int, str, str, int]]:
        await self.journal.write()
        rows = await self.pool.fetch("SELECT id, kind, state, failures FROM dozor.incidents ORDER BY id")
        return [tuple(row) for row in rows]
