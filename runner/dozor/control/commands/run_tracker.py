"""Tracks the runs that commands have started, so that people learn how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from loguru import logger

from dozor.control.commands.started_runs import record_end, record_never_began
from dozor.language import msg
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.supervision.core.state import RunOutcome, State
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.task import SupervisedTask
from dozor.tracebacks import error_line

ERROR_LENGTH = 500
START_SECONDS = 60.0
"""How long a start that waits is followed."""
LOOK_EVERY = 0.02
_CALLED_OFF = (State.PAUSED, State.STOPPED)
"""States in which a start does not come that was to follow."""


class RunTracker:
    """The outcome, for the person who gave the command. It is not kept while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._writing: set[asyncio.Task[None]] = set()

    def follow(self, command_id: int, task: SupervisedTask) -> int | None:
        """Called in the turn of the loop that carried the command out. The started run's number."""
        run = task.run
        if run is None:
            if task.spec.pool is not None:
                return None
            self._keep(self._follow_start(command_id, task, task.state.runs_total))
            return task.state.runs_total + 1
        if run.task is None:
            return None
        if not task.state.restart_pending:
            _after(run.task, lambda: self._ended(command_id, task, run.started_at))
            return task.state.runs_total
        # The present run is asked to end first; the one that is meant starts when it has ended.
        _after(run.task, lambda: self._follow_next(command_id, task, run))
        return task.state.runs_total + 1

    async def _follow_start(self, command_id: int, task: SupervisedTask, before: int) -> None:
        """The start waits: for a commit, or for a former leader's run to end. `before`: runs so far."""
        state = task.state.state
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while task.state.runs_total == before:
                    if task.state.state is not state and task.state.state in _CALLED_OFF:
                        await self._never_began(command_id)
                        return
                    await asyncio.sleep(LOOK_EVERY)
        started_at = task.state.started_at
        if started_at is None or task.state.runs_total != before + 1:
            return
        run = task.run
        if run is None:
            self._ended(command_id, task, started_at)
        elif run.task is not None:
            _after(run.task, lambda: self._ended(command_id, task, run.started_at))

    def _follow_next(self, command_id: int, task: SupervisedTask, before: Run) -> None:
        run = task.run
        if run is None and task.state.state in _CALLED_OFF:
            self._keep(self._never_began(command_id))
        elif run is None:
            self._keep(self._follow_start(command_id, task, task.state.runs_total))
        elif run is not before and run.task is not None:
            _after(run.task, lambda: self._ended(command_id, task, run.started_at))

    async def _never_began(self, command_id: int) -> None:
        try:
            await record_never_began(self._pool, command_id)
        except Exception as error:
            if not unavailable(error):
                raise
            outcome = RunOutcome.CANCELLED.value
            logger.warning(msg("log-outcome-not-written", command=command_id, outcome=outcome))

    def _ended(self, command_id: int, task: SupervisedTask, started_at: float) -> None:
        state, failure = task.state, task.state.failure_record.failure
        outcome, error = RunOutcome.CANCELLED, None
        if state.succeeded_at is not None and state.succeeded_at >= started_at:
            outcome = RunOutcome.SUCCEEDED
        elif failure is not None and (state.failure_record.failed_at or 0.0) >= started_at:
            outcome = RunOutcome.TIMED_OUT if failure.timed_out else RunOutcome.FAILED
            error = error_line(failure.error_type, failure.error_text)[:ERROR_LENGTH]
        self._keep(self._write(command_id, outcome, state.duration or 0.0, error))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, command_id: int, outcome: RunOutcome, seconds: float, error: str | None) -> None:
        try:
            await record_end(self._pool, command_id, outcome, seconds, error)
        except Exception as error_:
            if not unavailable(error_):
                raise
            logger.warning(msg("log-outcome-not-written", command=command_id, outcome=outcome.value))


def _after(run: asyncio.Task[None], act: Callable[[], None]) -> None:
    """A turn of the loop later than everybody else who waits for the run: the state is settled by then."""
    run.add_done_callback(lambda _: run.get_loop().call_soon(act))
