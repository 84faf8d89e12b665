"""Probes of named dependencies: at intervals, and whenever a run that requires one has failed."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from loguru import logger

from dozor.clock import Clock
from dozor.config.sections.supervision import DependencyConfig
from dozor.language import msg
from dozor.process.threads import in_own_thread
from dozor.storage.postgres.pool import Pool
from dozor.supervision.runs.run import Run
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

TOLD_AFTER = 2
"""Failed checks in a row that raise an alert; tasks are held at the first."""


class Dependency:
    """One of them, as far as known."""

    def __init__(self, name: str, config: DependencyConfig) -> None:
        self.name = name
        self.config = config
        self.down_since: float | None = None
        self.last_down_at = float("-inf")
        self.reason = ""
        self.missed = 0
        self.told = False
        self.waiting: tuple[str, ...] | None = None
        """The waiting tasks that the last message named; None: this runner has sent none."""
        self.asking: asyncio.Task[str | None] | None = None

    def was_down_since(self, at: float) -> bool:
        """At any time known since `at`."""
        return self.down_since is not None or self.last_down_at >= at


class Dependencies:
    """Holds and releases the tasks that require them; one incident for each names the waiting tasks."""

    def __init__(
        self,
        configured: Mapping[str, DependencyConfig],
        supervisor: Supervisor,
        troubles: TroubleListener,
        clock: Clock,
        pool: Pool | None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._all = {name: Dependency(name, config) for name, config in configured.items()}
        self._supervisor = supervisor
        self._troubles = troubles
        self._clock = clock
        self._pool = pool
        self._redact = redact
        self._refreshing = False
        supervisor.outage_of_others = self.explains
        supervisor.gate.subscribe(self._waiting_changed)

    def restore(self, name: str) -> bool:
        """The runner before this one reported it as down. False if it is not monitored any more."""
        dependency = self._all.get(name)
        if dependency is None:
            return False
        dependency.told = True
        return True

    async def run(self) -> None:
        """Check without end."""
        watches = [asyncio.create_task(self._watch(dependency)) for dependency in self._all.values()]
        try:
            await asyncio.gather(*watches)
        finally:
            for watch in watches:
                watch.cancel()

    async def explains(self, task: SupervisedTask, run: Run) -> bool:
        """Whether something that `task` requires was down during its run, or is down now."""
        for name in task.spec.policy.requires:
            dependency = self._all.get(name)
            if dependency is None:
                continue
            if not dependency.was_down_since(run.started_at):
                await self._ask(dependency)
            if dependency.was_down_since(run.started_at):
                return True
        return False

    async def _watch(self, dependency: Dependency) -> None:
        every = dependency.config.every
        while not self._supervisor.closing:
            await self._ask(dependency)
            await asyncio.sleep(every)

    async def _ask(self, dependency: Dependency) -> None:
        """Concurrent callers share one check."""
        if dependency.asking is None or dependency.asking.done():
            # The caller may be a run that failed, whose context must not reach what follows.
            contexts = self._supervisor.contexts
            dependency.asking = asyncio.get_running_loop().create_task(
                answer(dependency.config, self._pool), context=contexts.fresh()
            )
            dependency.asking.add_done_callback(
                lambda asked: self._heard(dependency, asked), context=contexts.timers
            )
        await asyncio.wait({dependency.asking})

    def _heard(self, dependency: Dependency, asked: asyncio.Task[str | None]) -> None:
        if asked.cancelled():
            return
        error = asked.exception()
        problem = asked.result() if error is None else f"{type(error).__name__}: {error}"
        now = self._clock.now()
        if problem is None:
            dependency.missed = 0
            if dependency.down_since is not None or dependency.told:
                self._back(dependency, now)
            return
        dependency.missed += 1
        dependency.last_down_at = now
        dependency.reason = self._redact(problem)[:300]
        if dependency.down_since is None:
            dependency.down_since = now
            logger.error(msg("log-dependency-down", name=dependency.name, reason=dependency.reason))
            self._supervisor.dependency_changed(up=False, name=dependency.name)
        if dependency.missed >= TOLD_AFTER and not dependency.told:
            dependency.told = True
            trouble = self._trouble(dependency, now)
            dependency.waiting = trouble.waiting
            self._troubles.raised(trouble)
        self._refresh()

    def _waiting_changed(self) -> None:
        """Many tasks may be held or released in one turn of the loop: the incidents follow once, after it."""
        if not self._refreshing and any(dependency.told for dependency in self._all.values()):
            self._refreshing = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._refresh, context=self._supervisor.contexts.timers)

    def _refresh(self) -> None:
        """Correct each incident that names other waiting tasks than there are."""
        self._refreshing = False
        now = self._clock.now()
        for dependency in self._all.values():
            if not dependency.told or dependency.down_since is None:
                continue
            trouble = self._trouble(dependency, now)
            if trouble.waiting != dependency.waiting:
                dependency.waiting = trouble.waiting
                self._troubles.changed(trouble)

    def _back(self, dependency: Dependency, now: float) -> None:
        logger.info(
            msg(
                "log-dependency-back",
                name=dependency.name,
                seconds=f"{max(0.0, now - (dependency.down_since or now)):.1f}",
            )
        )
        if dependency.told:
            dependency.told = False
            self._troubles.cleared(self._trouble(dependency, now))
        dependency.down_since = None
        dependency.waiting = None
        self._supervisor.dependency_changed(up=True, name=dependency.name)

    def _trouble(self, dependency: Dependency, now: float) -> Trouble:
        return Trouble(
            kind=TroubleKind.DEPENDENCY,
            subject=dependency.name,
            seconds=now - (dependency.down_since or now),
            waiting=self._supervisor.gate.waiting_for(dependency.name),
            explains=self._supervisor.gate.requiring(dependency.name),
            reason=dependency.reason,
        )


async def answer(config: DependencyConfig, pool: Pool | None) -> str | None:
    """What is wrong with it, None if it is up. Never takes much longer than its timeout."""
    try:
        async with asyncio.timeout(config.timeout):
            if config.tcp is not None:
                return await _tcp(*config.tcp)
            if config.http is not None:
                return await in_own_thread(_http, config.http, config.timeout)
            return await _query(config.query or "", pool)
    except TimeoutError:
        return msg("log-no-answer-within", seconds=f"{config.timeout:g}")
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


async def _tcp(host: str, port: int) -> str | None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return None


def _http(url: str, timeout: float) -> str | None:
    request = urllib.request.Request(url, headers={"User-Agent": "dozor"})  # noqa: S310 -- http(s), checked
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310 -- as above
            status = int(response.status)
    except urllib.error.HTTPError as error:
        status = error.code
    except urllib.error.URLError as error:
        return str(error.reason)
    return None if status < 500 else msg("log-http-status", status=status)


async def _query(query: str, pool: Pool | None) -> str | None:
    if pool is None:
        return msg("log-no-database")
    value = await pool.fetchval(query)
    return msg("log-query-false") if value is False else None
