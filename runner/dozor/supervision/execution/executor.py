"""Executes one run: calls the checker on the loop, in a thread or in a process, and classifies its ending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Final, Protocol, assert_never

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.config.sections.tasks import Isolation
from dozor.exceptions import bounded, release, tamed
from dozor.language import msg
from dozor.process import forking
from dozor.supervision.runs.context import Context
from dozor.supervision.runs.memory import reclaim_memory
from dozor.supervision.runs.ownership import CURRENT, Scope
from dozor.supervision.runs.resources import Resources
from dozor.supervision.runs.results import awaited
from dozor.supervision.runs.run import Run, StopReason, call_in_thread
from dozor.supervision.tasks.task import SupervisedTask

IsOutage = Callable[[BaseException, float, bool], Awaitable[bool]]
"""(error, run started at, the run used ctx.db) -> whether the run failed because our database was away."""


class RunHost(Protocol):
    """Whose run it is."""

    @property
    def contexts(self) -> CleanContext: ...
    @property
    def resources(self) -> Resources | None: ...
    def context(self, task: SupervisedTask, run: Run) -> Context: ...
    async def explained(self, task: SupervisedTask, run: Run, error: BaseException) -> bool:
        """Whether an outage of something the task requires explains its failure."""
        ...

    def run_ended(
        self, task: SupervisedTask, run: Run, error: BaseException | None, *, outage: bool = False
    ) -> None: ...


async def never_an_outage(error: BaseException, started_at: float, used_database: bool) -> bool:
    """For supervision without a database."""
    return False


_INLINE: Final = Isolation.INLINE
_PROCESS: Final = Isolation.PROCESS


async def execute(host: RunHost, task: SupervisedTask, run: Run, scope: Scope | None) -> None:
    """Run the checker and report its end to `host`. Raises nothing, whatever the checker raises.

    Called in a context of its own, which the checker may change: `host` is called outside it. What the run
    starts is attributed to `scope`.
    """
    if scope is not None:
        CURRENT.set(scope)
    spec = task.spec
    forks = forking.generation
    error: BaseException | None = None
    outage = False
    resources = host.resources
    try:
        if resources is not None and spec.isolation is not _PROCESS and resources.plan.needed_by(spec):
            await resources.open(spec)
        if spec.isolation is _INLINE:
            if spec.takes_context:
                result = spec.function(ctx=host.context(task, run), **task.arguments())
            elif spec.args:
                result = spec.function(**task.arguments())
            else:
                result = spec.function()
            if type(result) is CoroutineType:
                result = await result
            if result is not None:
                await awaited(result)
        else:
            await _elsewhere(host, task, run)
    except GeneratorExit:
        raise
    except BaseException as caught:  # noqa: BLE001 -- the supervision border: recorded by `run_ended`
        error = tamed(caught)
        forking.end_if_forked(forks, error)
        if run.reason is not StopReason.ASKED:
            outage = await _explained(host, task, run, caught)
    if forking.generation != forks:
        forking.end_if_forked(forks, error)
    if scope is not None:
        if scope.tasks is not None or scope.broken is not None:
            scope.left_tasks()
            if error is None and run.reason is not StopReason.ASKED:
                error = scope.broken
            scope.broken = None
        scope.ended = True
    if outage:
        host.contexts.run(host.run_ended, task, run, error, outage=True)
    else:
        host.contexts.timers.run(host.run_ended, task, run, error)
    if scope is not None and scope.has_started:
        scope.listener.look(scope)
    if error is not None:
        release(error)
        error = None  # its traceback would refer to this frame, and the frame to it
        reclaim_memory()


async def _elsewhere(host: RunHost, task: SupervisedTask, run: Run) -> None:
    """Run the checker in a thread, or in its process."""
    spec = task.spec
    match spec.isolation:
        case Isolation.INLINE | Isolation.THREAD:
            given = {"ctx": host.context(task, run)} if spec.takes_context else {}
            await call_in_thread(spec.function, {**task.arguments(), **given}, run)
        case Isolation.PROCESS:
            assert task.child is not None
            run.in_process = True
            await task.child.perform(run, host.context(task, run))
        case _:
            assert_never(spec.isolation)


async def _explained(host: RunHost, task: SupervisedTask, run: Run, error: BaseException) -> bool:
    try:
        return await host.explained(task, run, error)
    except asyncio.CancelledError:
        return False  # asked to stop meanwhile: the error counts
    except GeneratorExit:
        raise
    except BaseException as nested:  # noqa: BLE001 -- not knowing must not keep a run from ending
        logger.opt(exception=bounded(nested)).error(msg("log-outage-unknown"))
        return False
