"""Carries out one run: calls the checker where it belongs, and turns whatever it does into an ending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from loguru import logger

from runner.config.tasks import Isolation
from runner.errors import Fatal
from runner.supervision.context import Context
from runner.supervision.run import Run, StopReason, call_in_thread
from runner.supervision.spec import TaskSpec

IsOutage = Callable[[BaseException, float, bool], Awaitable[bool]]
"""(error, run started at, the run used ctx.db) -> whether the run failed because our database was away."""

Ended = Callable[[BaseException | None, bool], None]
"""(what it raised, None if it returned; whether an outage of our database explains that)."""


async def never_an_outage(error: BaseException, started_at: float, used_database: bool) -> bool:
    """For supervision without a database."""
    return False


async def carry_out(
    spec: TaskSpec, run: Run, context: Callable[[], Context], is_outage: IsOutage, ended: Ended
) -> None:
    """Run the checker and report how it ended. Raises nothing, whatever the checker raises."""
    error: BaseException | None = None
    outage = False
    try:
        match spec.isolation:
            case Isolation.INLINE:
                if spec.takes_context:
                    await spec.function(ctx=context(), **spec.args)
                elif spec.args:
                    await spec.function(**spec.args)
                else:
                    await spec.function()
            case Isolation.THREAD:
                given = {"ctx": context()} if spec.takes_context else {}
                await call_in_thread(spec.function, {**spec.args, **given})
            case Isolation.PROCESS:
                raise Fatal("isolation: process is not in this version; use inline or thread")
            case _:
                assert_never(spec.isolation)
    except GeneratorExit:
        raise
    except BaseException as caught:  # noqa: BLE001 -- the supervision border: recorded by `ended`
        error = caught
        if not (isinstance(caught, asyncio.CancelledError) and run.reason is StopReason.ASKED):
            outage = await _explained(caught, run, is_outage)
    ended(error, outage)


async def _explained(error: BaseException, run: Run, is_outage: IsOutage) -> bool:
    try:
        return await is_outage(error, run.started_at, run.used_database)
    except asyncio.CancelledError:
        return False  # asked to stop while we wondered: the error counts
    except Exception as nested:  # noqa: BLE001 -- not knowing must not keep a run from ending
        logger.opt(exception=nested).error("Supervisor: could not tell whether the database was away")
        return False
