"""Reload: a changed configuration is applied to the tasks that changed, or refused as a whole."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.notification import AlertData
from dozor.alerting.reports.runner import RunnerReports
from dozor.clock import Clock
from dozor.config import Config
from dozor.config.changes import Changes, compare, in_effect
from dozor.config.imports.checkers import load_with_checkers
from dozor.config.imports.environment import withheld_names
from dozor.config.imports.importing import newer_file
from dozor.config.secrets import register_config_secrets
from dozor.config.sections.tasks import Isolation
from dozor.control.alert_settings import all_settings
from dozor.control.commands.commands import CommandReason
from dozor.errors import ConfigError, SchemaError
from dozor.language import msg
from dozor.language.process import language_in_use
from dozor.process.threads import in_own_thread
from dozor.redaction import Redactor
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.migration_sets import sets_for
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.storage.tables import tasks
from dozor.storage.tables.tasks import declaration
from dozor.supervision.core.spec import TaskSpec, from_config
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.persistence import from_row

WATCH_EVERY = 2.0
"""Seconds between looks at the file."""
PROBLEMS_SHOWN = 10


class Reloader:
    """`configured` is called with the configuration that is in effect now."""

    def __init__(
        self,
        config: Config,
        supervisor: Supervisor,
        manager: IncidentManager,
        pool: Pool,
        clock: Clock,
        redactor: Redactor,
        configured: Callable[[Config], None],
        database: Database,
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._manager = manager
        self._reports = RunnerReports(manager, clock)
        self._pool = pool
        self._clock = clock
        self._redactor = redactor
        self._configured = configured
        self._database = database
        self._one_at_a_time = asyncio.Lock()
        self._waiting: set[asyncio.Task[CommandReason]] = set()

    def soon(self, by: str) -> None:
        """Reload in the background; for a signal handler."""
        reloading = asyncio.get_running_loop().create_task(self.reload(by))
        self._waiting.add(reloading)
        reloading.add_done_callback(self._waiting.discard)

    async def watch_file(self) -> None:
        """Reload whenever the file has changed, and has then stayed the same for one look."""
        applied = seen = None  # the first look also finds what has changed while we were starting
        while True:
            await asyncio.sleep(WATCH_EVERY)
            now = stamp(self._config.path)
            if now is not None and now == seen and now != applied:
                applied = now
                await self.reload("file")
            seen = now

    async def reload(self, by: str) -> CommandReason:
        """DONE, ALREADY if nothing has changed, INVALID if the file is refused and the previous one kept."""
        async with self._one_at_a_time:
            try:
                loaded = await in_own_thread(
                    load_with_checkers, self._config.path, language=language_in_use(), probe_new=True
                )
                new, checkers = loaded.config, loaded.checkers
                register_config_secrets(new, self._redactor)
            except ConfigError as error:
                self._refused([self._redactor.redact(problem) for problem in error.problems])
                return CommandReason.INVALID
            changes = compare(self._config, new)
            await in_own_thread(_say_newer, new)
            if not changes:
                logger.info(msg("log-reload-nothing", by=by))
                return CommandReason.ALREADY
            specs = {
                task.name: from_config(task, checkers[task.name])
                for task in (*changes.added, *changes.changed)
            }
            try:
                await self._prepare_schemas(new)
                await self._apply(new, changes, specs)
            except SchemaError as error:
                self._refused([self._redactor.redact(str(error))])
                return CommandReason.INVALID
            except Exception as error:
                if not unavailable(error):
                    raise
                self._refused([msg("log-reload-no-database")])
                return CommandReason.INVALID
            self._tell(changes, by)
            return CommandReason.DONE

    async def _apply(self, new: Config, changes: Changes, specs: dict[str, TaskSpec]) -> None:
        enabled = [task for task in new.tasks if task.enabled]
        async with self._pool.acquire(timeout=5.0) as connection, connection.transaction():
            await tasks.declare(connection, [declaration(task) for task in enabled])
            stored = await tasks.load(connection, [task.name for task in changes.added])
        # From here on nothing waits and nothing fails: all of it, or none.
        supervisor, now = self._supervisor, self._clock.now()
        supervisor.processes.withhold(withheld_names(new.filled))
        self._manager.use_settings(all_settings(new, enabled))
        for name in changes.removed:
            supervisor.task_changes.remove(name)
        for task in changes.changed:
            supervisor.task_changes.replace(specs[task.name], now)
        for task in changes.added:
            row = stored.get(task.name)
            supervisor.task_changes.add(specs[task.name], None if row is None else from_row(row), now)
        supervisor.plan_anew()
        for task in (*changes.added, *changes.changed):
            supervised = supervisor.find(task.name)
            if supervised is not None:
                supervisor.processes.warm(supervised)
        self._manager.resolve_removed_tasks(supervisor)
        # Sections that need a restart keep their previous values, so that the next reload reports them again.
        self._config = in_effect(self._config, new, changes)
        self._configured(self._config)

    async def _prepare_schemas(self, new: Config) -> None:
        """Only what the new configuration adds: a later version may have migrated the rest since our start.

        Raises SchemaError, which names the command, for a database that is not an embedded one.
        """
        needed = await in_own_thread(sets_for, new)
        present = await in_own_thread(sets_for, self._config)
        if added := [found for found in needed if found not in present]:
            await self._database.prepare(added)

    def _tell(self, changes: Changes, by: str) -> None:
        lines = (
            *changes.lines,
            *((msg("log-reload-roles"),) if changes.people else ()),
        )
        logger.info(msg("log-reload", by=by, lines=", ".join(lines) or msg("log-reload-no-effect")))
        if changes.kept_back:
            logger.warning(msg("log-reload-kept-back", sections=", ".join(changes.kept_back)))
        kept_back = ", ".join(changes.kept_back) or None
        self._reports.reloaded(AlertData(lines=lines, count=len(lines), subject=kept_back, by=by))

    def _refused(self, problems: list[str]) -> None:
        shown = problems[:PROBLEMS_SHOWN]
        logger.error("\n".join((msg("log-reload-refused"), *problems)))
        facts = set_text(AlertData(count=len(problems)), "\n".join(problems), "\n".join(shown))
        self._reports.reloaded(facts, refused=True)


def _say_newer(config: Config) -> None:
    """Which modules have changed since they were imported: a reload does not import them again."""
    tasks_of: dict[str, list[str]] = {}
    for task in config.tasks:
        if task.enabled and task.isolation is not Isolation.PROCESS:
            tasks_of.setdefault(task.run.partition(":")[0], []).append(task.name)
    for module, names in tasks_of.items():
        file = newer_file(sys.modules.get(module))
        if file is not None:
            logger.warning(msg("log-reload-newer", file=file, tasks=", ".join(names)))


def stamp(path: Path) -> tuple[int, int] | None:
    """Changes with the content of the file; None: there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
