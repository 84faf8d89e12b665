"""What the user's configuration gives to runs: pools on named databases, and the values of setups.

A setup is opened by the first run that needs it, so that its failure is a failure of that run; the next run
tries again. The runner's setup is opened before a task's. Everything is closed in the reverse order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dozor.clean_context import CleanContext
from dozor.config.imports.setups import DATABASES, RESOURCES
from dozor.errors import SetupError, StorageError
from dozor.language import msg
from dozor.storage.postgres.named_databases import DatabaseOptions, Databases, NamedPool
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.runs.run import Run
from dozor.supervision.runs.setups import OpenSetup

if TYPE_CHECKING:  # child processes import this module, and need no configuration
    from dozor.config import Config

RUNNER = ""
"""Owner of the runner's own setup; no task has this name."""
RECLAIM_EVERY = 1.0
"""Seconds between looks for connections that ended runs still hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePlan:
    """What there is to be opened. `setup`: the runner's, "" for none. `setup_timeout` in seconds.

    `folder`: of the configuration, from which setups are imported.
    """

    databases: Mapping[str, DatabaseOptions] = field(default_factory=dict)
    setup: str = ""
    setup_timeout: float = 30.0
    folder: Path = Path()

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls(
            databases={name: DatabaseOptions.of(one) for name, one in config.databases.items()},
            setup=config.setup or "",
            setup_timeout=config.supervision.setup_timeout,
            folder=config.path.parent,
        )

    def to_frame(self) -> dict[str, Any]:
        """As JSON, for a process of its own. It may hold passwords."""
        return {
            "databases": {name: one.to_frame() for name, one in self.databases.items()},
            "setup": self.setup,
            "setup_timeout": self.setup_timeout,
            "folder": str(self.folder),
        }

    @classmethod
    def from_frame(cls, frame: Mapping[str, Any]) -> Self:
        return cls(
            databases={name: DatabaseOptions(**one) for name, one in frame["databases"].items()},
            setup=frame["setup"],
            setup_timeout=frame["setup_timeout"],
            folder=Path(frame["folder"]),
        )

    def needed_by(self, spec: TaskSpec) -> bool:
        """Whether a run of `spec` has anything to be opened before it."""
        return bool(self.setup or spec.setup or (self.databases and spec.takes_context))


class RunResources:
    """What one run is given, as `ctx.resources` and `ctx.databases`."""

    __slots__ = ("databases", "value")

    def __init__(self, value: Any, databases: Mapping[str, Any]) -> None:
        self.value = value
        self.databases = databases


class Resources:
    """Belongs to the loop it is used on. `now`: seconds since the epoch."""

    def __init__(
        self, plan: ResourcePlan, now: Callable[[], float], *, application_name: str = "dozor checkers"
    ) -> None:
        self.plan = plan
        self._now = now
        self._application_name = application_name
        self._contexts = CleanContext()
        self._pools: dict[str, NamedPool | StorageError] = {}
        self._opening_pools = asyncio.Lock()
        self._setups: dict[str, OpenSetup] = {}
        """By owner, in the order in which they were opened."""
        self._leaving: dict[OpenSetup, asyncio.Task[None]] = {}
        """Of earlier configurations: being closed, or in use by a run that has not ended."""
        self._reclaiming: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, spec: TaskSpec) -> None:
        """Everything that a run of `spec` needs. Raises SetupError."""
        await self._open_pools()
        shared: Any = None
        if self.plan.setup:
            shared = await self._ensure(RUNNER, self.plan.setup, {DATABASES: self._for_setup(RUNNER)})
        if spec.setup:
            offered = {DATABASES: self._for_setup(spec.name), RESOURCES: shared}
            await self._ensure(spec.name, spec.setup, offered)

    def for_run(self, task: str, run_id: str, is_over: Callable[[], bool]) -> RunResources:
        """What is open now, for one run of `task`. `is_over`: the run has ended, or was abandoned."""
        held = self._setups.get(task) or self._setups.get(RUNNER)
        value = None if held is None else held.value
        return RunResources(value, Databases(self._pools, task, run_id, is_over))

    def retire(self, task: str, run: asyncio.Task[Any] | None = None) -> None:
        """Close the setup of `task` when `run`, if there is one, has ended. The next run opens it anew."""
        held = self._setups.pop(task, None)
        if held is not None:
            loop = asyncio.get_running_loop()
            leaving = loop.create_task(self._leave(held, run), context=self._contexts.fresh())
            self._leaving[held] = leaving

    async def close(self) -> None:
        """Setups in the reverse order of opening, earlier configurations' first; then databases."""
        self._closed = True
        for held, leaving in reversed(list(self._leaving.items())):
            leaving.cancel()
            await held.close()
        while self._setups:
            _, held = self._setups.popitem()
            await held.close()
        if self._reclaiming is not None:
            self._reclaiming.cancel()
        while self._pools:
            _, pool = self._pools.popitem()
            if isinstance(pool, NamedPool):
                await pool.close()

    async def _open_pools(self) -> None:
        """Once, without a connection. A database whose options cannot work concerns only runs that use it."""
        if self._reclaiming is not None or not self.plan.databases:
            return
        async with self._opening_pools:
            for name, options in self.plan.databases.items():
                if name in self._pools:
                    continue
                try:
                    self._pools[name] = await NamedPool.open_named(
                        name, options, self._now, self._application_name
                    )
                except StorageError as error:
                    self._pools[name] = error
            if self._reclaiming is None:
                loop = asyncio.get_running_loop()
                self._reclaiming = loop.create_task(self._reclaim(), context=self._contexts.fresh())

    def _for_setup(self, owner: str) -> Databases:
        return Databases(self._pools, owner or "setup", "setup", lambda: False)

    async def _ensure(self, owner: str, reference: str, offered: dict[str, Any]) -> Any:
        await self._left(owner, reference)
        held = self._setups.get(owner)
        if held is None or held.over or held.reference != reference:
            if self._closed:
                raise SetupError(msg("error-setup-leaving", setup=reference))
            self._setups.pop(owner, None)
            limit = self.plan.setup_timeout
            held = OpenSetup(owner, reference, self.plan.folder, offered, limit, self._contexts)
            self._setups[owner] = held
        return await held.wait_open()

    async def _left(self, owner: str, reference: str) -> None:
        """Until earlier setups of the owner are closed: they may hold what the new one needs."""
        before = [held for held in self._leaving if held.owner == owner]
        for held in before:
            await asyncio.wait((self._leaving[held],), timeout=self.plan.setup_timeout)
        if any(held in self._leaving for held in before):
            raise SetupError(msg("error-setup-leaving", setup=reference))

    async def _leave(self, held: OpenSetup, run: asyncio.Task[Any] | None) -> None:
        if run is not None:
            await asyncio.wait((run,))
        await held.close()
        self._leaving.pop(held, None)

    async def _reclaim(self) -> None:
        while True:
            await asyncio.sleep(RECLAIM_EVERY)
            for pool in self._pools.values():
                if isinstance(pool, NamedPool):
                    pool.reclaim()


def given_to(resources: Resources | None, task: str, run_id: str, run: Run) -> RunResources | None:
    """What is open for `run` of `task`; None where nothing is configured."""
    if resources is None:
        return None
    return resources.for_run(task, run_id, lambda: run.ended or run.abandoned)
