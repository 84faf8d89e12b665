"""Builds all monitors of supervision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import assert_never

from dozor.clock import SteadyClock
from dozor.config.sections.supervision import DependencyConfig, LimitsConfig, SupervisionConfig
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.pool import Pool
from dozor.supervision.monitoring.dependencies import Dependencies
from dozor.supervision.monitoring.limits import Limits
from dozor.supervision.monitoring.loop_watchdog import Watchdog
from dozor.supervision.monitoring.pool_monitor import PoolMonitor
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

CALM_SECONDS = 60.0
"""Without another one, a blocked loop is over."""
OWNERS_SECONDS = 1.0
"""How long the watchdog goes by the tasks that it has seen."""


class Monitors:
    """`alarm` reports a blocked loop from a thread, while it is blocked.

    `pool`: Dozor's own; `probes`: for the `query` of dependencies; `checkers`: behind `ctx.db`, with
    `starved_after`, the seconds that a run may wait for one of its connections.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        troubles: TroubleListener,
        clock: SteadyClock,
        pool: Pool | None,
        *,
        probes: Pool | None,
        checkers: CheckerPool | None,
        starved_after: float,
        rules: SupervisionConfig,
        limits: LimitsConfig,
        dependencies: Mapping[str, DependencyConfig],
        alarm: Callable[[Trouble], object],
        redact: Callable[[str], str],
    ) -> None:
        self._supervisor = supervisor
        self._troubles = troubles
        self._clock = clock
        self._alarm = alarm
        self._calm: dict[str, asyncio.TimerHandle] = {}
        # When a loop that was blocked by somebody counts as free again.
        self.watchdog = Watchdog(rules.blocked_loop_after, self._blocks, self._blocked, self._owner)
        self._owners: dict[str, str | None] = {}
        """Of the watchdog's thread: the only task whose function is in a file, None if there are several."""
        self._owners_at = -OWNERS_SECONDS
        self._tasks = TaskMonitor(supervisor, troubles, clock)
        self._limits = Limits(limits, troubles, pool, self._lag)
        self._dependencies = Dependencies(dependencies, supervisor, troubles, clock, probes, redact)
        self._has_dependencies = bool(dependencies)
        self._pool_watch = None if checkers is None else PoolMonitor(checkers, troubles, clock, starved_after)

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """To be supervised with the runner's other parts."""
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "task monitor": self._tasks.run,
            "limits": self._limits.run,
        }
        if self._has_dependencies:
            parts["dependencies"] = self._dependencies.run
        if self._pool_watch is not None:
            parts["ctx.db"] = self._pool_watch.run
        return parts

    def start(self) -> None:
        """The thread that watches the loop."""
        self.watchdog.start()

    async def stop(self) -> None:
        self.watchdog.stop()
        for timer in self._calm.values():
            timer.cancel()

    def restore(self, kind: TroubleKind, subject: str, task: str | None) -> None:
        """A trouble that the runner before this one has reported as raised and not as cleared."""
        match kind:
            case (
                TroubleKind.HUNG
                | TroubleKind.BLOCKED_LOOP
                | TroubleKind.POOL_EXHAUSTED
                | TroubleKind.NO_WORKER
            ):
                # It ended with that process.
                self._troubles.cleared(Trouble(kind=kind, subject=subject, task=task))
            case TroubleKind.OVERDUE:
                found = self._supervisor.find(subject)
                if found is not None:
                    found.overdue = True
            case TroubleKind.BACKLOG:
                found = self._supervisor.find(subject)
                if found is not None:
                    found.behind = found.backlog_limit is not None
                    if not found.behind:
                        self._troubles.cleared(Trouble(kind=kind, subject=subject, task=task))
            case TroubleKind.DEPENDENCY:
                if not self._dependencies.restore(subject):
                    self._troubles.cleared(Trouble(kind=kind, subject=subject))
            case TroubleKind.LIMIT:
                self._limits.restore(subject)
            case _:
                assert_never(kind)

    def _blocks(self, trouble: Trouble) -> None:
        """The loop is blocked. Called in a thread."""
        self._alarm(self._of_a_task(trouble))

    def _of_a_task(self, trouble: Trouble) -> Trouble:
        """Of a task, or of a part of our own."""
        return trouble if self._supervisor.find(trouble.subject) is not None else replace(trouble, task=None)

    def _blocked(self, trouble: Trouble) -> None:
        """The loop was blocked and runs again: an incident that is over."""
        trouble = self._of_a_task(trouble)
        self._troubles.raised(trouble)
        calm = self._calm.get(trouble.subject)
        if calm is not None:
            calm.cancel()
        loop = asyncio.get_running_loop()
        self._calm[trouble.subject] = loop.call_later(CALM_SECONDS, self._is_calm, trouble)

    def _is_calm(self, trouble: Trouble) -> None:
        self._calm.pop(trouble.subject, None)
        self._troubles.cleared(trouble)

    def _owner(self, path: str) -> str | None:
        """The task whose checker is in this file, if it is only one. Called in the watchdog's thread."""
        now = time.monotonic()
        if now - self._owners_at > OWNERS_SECONDS:
            # Not for each frame of each look: with many tasks that takes from the loop, while it is late,
            # the time in which it could catch up.
            owners: dict[str, str | None] = {}
            for task in self._supervisor.tasks:
                file = getattr(getattr(task.spec.function, "__code__", None), "co_filename", None)
                if file is not None:
                    owners[file] = None if file in owners else task.spec.name
            self._owners, self._owners_at = owners, now
        return self._owners.get(path)

    def _lag(self) -> float | None:
        lags, self.watchdog.lags = self.watchdog.lags, []
        return min(lags[-60:]) if len(lags) >= 20 else None
