"""The status from the runner's memory: fresher than the database, and available while it is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dozor.clock import Clock
from dozor.control.queries.status import AlertsBacklog, Progress, TaskStatus, read_backlog
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.supervision.tasks.task import SupervisedTask
from dozor.web.http.reuse import Reused
from dozor.web.sources import Unwritten

ASK_SECONDS = 1.0
"""How long an answer of the database may hold up a page."""


def task_status(task: SupervisedTask, now: float) -> TaskStatus:
    """One task as it is this moment."""
    row = task.row()
    total = row.progress_total
    return TaskStatus(
        name=row.name,
        description=task.spec.description,
        schedule=str(task.spec.policy.schedule),
        state=task.state.state,
        consecutive_failures=row.consecutive_failures,
        max_consecutive_failures=task.spec.policy.max_consecutive_failures,
        runs_total=row.runs_total,
        failures_total=row.failures_total,
        last_started_at=row.last_started_at,
        last_success_at=row.last_success_at,
        last_duration=row.last_duration,
        failing_since=row.failing_since,
        last_failed_at=row.last_failed_at,
        last_error_type=row.last_error_type,
        last_error_text=row.last_error_text,
        last_error_where=row.last_error_where,
        next_run_at=row.next_run_at,
        running_for_s=None if row.running_since is None else max(0.0, now - row.running_since),
        state_by=row.state_by,
        progress=None if total is None else Progress(row.progress_done or 0.0, total),
        backlog_size=row.backlog_size,
        backlog_oldest_at=row.backlog_oldest_at,
    )


@dataclass(frozen=True, slots=True)
class _Owed:
    pending: int
    oldest_at: float | None


class PendingAlerts:
    """Messages not yet delivered: those in the database, and those that wait in memory for it."""

    def __init__(self, pool: Pool, journal: Unwritten, clock: Clock) -> None:
        self._pool = pool
        self._journal = journal
        self._clock = clock
        self._known = _Owed(0, None)
        self._reads: Reused[None, None] = Reused()

    async def read(self) -> AlertsBacklog:
        """Never waits longer than a second: while the database is away, what was last read still counts."""
        await self._reads.get(None, self._read)
        unwritten = self._journal.unwritten_notifications
        oldest = [row.created_at for row in unwritten[:1]]
        if self._known.oldest_at is not None:
            oldest.append(self._known.oldest_at)
        return AlertsBacklog(
            self._known.pending + len(unwritten),
            max(0.0, self._clock.now() - min(oldest)) if oldest else None,
        )

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS), self._pool.acquire() as connection:
                stored = await read_backlog(connection)
        except Exception as error:
            if not unavailable(error):
                raise
        else:
            age = stored.oldest_pending_s
            self._known = _Owed(stored.pending, None if age is None else self._clock.now() - age)
