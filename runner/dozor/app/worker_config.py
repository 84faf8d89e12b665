"""The configuration of a worker: which tasks it takes, and how it follows changes of its file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from loguru import logger

from dozor.app.surroundings import config_digest
from dozor.cluster.assigned import AssignedRuns
from dozor.cluster.replicas import refused_digest
from dozor.config import Config
from dozor.config.changes import Changes, compare, in_effect
from dozor.config.imports.checkers import Checker, load_with_checkers
from dozor.config.imports.environment import withheld_names
from dozor.config.secrets import register_config_secrets
from dozor.config.sections.tasks import PoolPlacement
from dozor.control.reload import stamp
from dozor.errors import ConfigError
from dozor.language import msg
from dozor.language.process import language_in_use
from dozor.process.threads import in_own_thread
from dozor.redaction import Redactor
from dozor.supervision.core.spec import TaskSpec, from_config, specs_of

LOOK_EVERY = 1.0
"""Seconds between two looks at the file, which is read when it was the same in both."""

Shown = Callable[[list[TaskSpec], Collection[str]], None]
"""Takes all enabled tasks after a reload, and the names of those that have changed."""


def pool_specs(config: Config, checkers: Mapping[str, Checker]) -> list[TaskSpec]:
    """The tasks of `config` whose runs a worker of this process may take."""
    return [
        from_config(task, checkers[task.name], on_worker=True)
        for task in config.tasks
        if task.enabled
        and isinstance(task.placement, PoolPlacement)
        and task.placement.name in config.cluster.pools
    ]


class WorkerConfig:
    """Read again at SIGHUP, when the leader queues runs that the present tasks do not fit, and, with
    `supervision.watch_config`, when the file has changed. A file that cannot be used leaves all as it is.

    Then the file is read again when it has changed once more.

    `digest`: `config_digest` of `config`. `misfits`: set when a run was passed on for that reason.
    `shown`: see `Shown`.
    """

    def __init__(
        self,
        config: Config,
        digest: str,
        runs: AssignedRuns,
        redactor: Redactor,
        misfits: asyncio.Event,
        shown: Shown,
    ) -> None:
        self.config = config
        """In effect now."""
        self._digest = digest
        self._problems: tuple[str, ...] = ()
        """Why the file was refused when it was read last."""
        self._runs = runs
        self._redactor = redactor
        self._misfits = misfits
        self._shown = shown
        self._applied: tuple[int, int] | None = None
        """The stamp of the file as it was read last; None: at the start, when it may have changed since."""
        self._one_at_a_time = asyncio.Lock()
        self._reloading: set[asyncio.Task[None]] = set()

    @property
    def refused(self) -> bool:
        """Whether the file was refused when it was read last."""
        return bool(self._problems)

    @property
    def digest(self) -> str:
        """Of what is in effect, or what is wrong with the file."""
        return refused_digest(self._problems) if self._problems else self._digest

    def soon(self, by: str) -> None:
        """Reload in the background; for a signal handler."""
        reloading = asyncio.get_running_loop().create_task(self.reload(by))
        self._reloading.add(reloading)
        reloading.add_done_callback(self._reloading.discard)

    async def follow(self) -> None:
        """Without end: a part of the worker."""
        watches = self.config.supervision.watch_config
        while True:
            if not watches and not self.refused:
                await self._misfits.wait()
            by = "leader" if self._misfits.is_set() else "file"
            self._misfits.clear()
            before = stamp(self.config.path)
            await asyncio.sleep(LOOK_EVERY)
            now = stamp(self.config.path)
            if now is not None and now == before and now != self._applied:
                await self.reload(by)

    async def reload(self, by: str) -> None:
        """Runs in progress go on as they began: the leader asks those to end that it does not want."""
        async with self._one_at_a_time:
            path = self.config.path
            self._applied = stamp(path)
            try:
                loaded = await in_own_thread(
                    load_with_checkers, path, language=language_in_use(), probe_new=True
                )
            except ConfigError as error:
                self._problems = problems = tuple(
                    self._redactor.redact(problem) for problem in error.problems
                )
                logger.error("\n".join((msg("log-worker-reload-refused"), *problems)))
                self._misfits.set()  # `follow` looks for a change from now on
                return
            self._problems = ()
            new = loaded.config
            register_config_secrets(new, self._redactor)
            changes = compare(self.config, new)
            if not changes:
                logger.info(msg("log-worker-reload-nothing", by=by))
                return
            config = in_effect(self.config, new, changes)
            digest = await in_own_thread(config_digest, config)
            # From here on nothing waits: all of it, or none.
            self._use(config, changes, loaded.checkers)
            self._digest = digest
            lines = ", ".join(changes.lines) or msg("log-reload-no-effect")
            logger.info(msg("log-worker-reload", by=by, lines=lines))
            if changes.kept_back:
                logger.warning(msg("log-reload-kept-back", sections=", ".join(changes.kept_back)))

    def _use(self, config: Config, changes: Changes, checkers: Mapping[str, Checker]) -> None:
        changed = {task.name for task in changes.changed}
        self._runs.processes.withhold(withheld_names(config.filled))
        self._runs.use(pool_specs(config, checkers), changed)
        self._shown(specs_of([task for task in config.tasks if task.enabled], checkers), changed)
        self.config = config
