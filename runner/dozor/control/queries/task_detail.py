"""The details of one task: runs over several windows, errors, traceback, timeline, incidents.

A read model over the database, in one snapshot. Times are seconds since the epoch (UTC), durations are in
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dozor.control.queries.history import (
    ErrorGroup,
    HistoryEvent,
    IncidentLine,
    Traceback,
    incident_line,
    read_errors,
    read_history,
)
from dozor.control.queries.statistics import Statistics, read_statistics_of
from dozor.storage.postgres.pool import Connection, Row

DAY = 86_400.0
PORTIONS: Mapping[int, int] = {1: 48, 7: 56, 30: 60}
"""Portions of the chart by its length in days."""
WINDOWS = (1, 7)
"""Days that are always summed up; longer ones cost more."""
TIMELINE = 50
INCIDENTS = 20
ERRORS = 10

TASK_INCIDENTS_SQL = """
SELECT id, task, kind, severity, state, summary, failures, opened_at, acknowledged_by, resolved_at,
       resolved_by, fingerprint
FROM dozor.incidents WHERE task = $1 ORDER BY id DESC LIMIT $2
"""

LAST_TRACEBACK_SQL = """
SELECT task, finished_at, error_type, traceback FROM dozor.runs
WHERE task = $1 AND traceback IS NOT NULL ORDER BY finished_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """`windows`: statistics as one portion, by days; `chart`: one of them in portions."""

    now: float
    windows: Mapping[int, Statistics]
    chart: Statistics
    errors: tuple[ErrorGroup, ...]
    traceback: Traceback | None
    timeline: tuple[HistoryEvent, ...]
    incidents: tuple[IncidentLine, ...]


async def read_detail(connection: Connection, task: str, days: int) -> TaskDetail:
    """`days`: of the chart, a key of PORTIONS."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        now: datetime = await connection.fetchval("SELECT now()")
        windows = {
            window: await read_statistics_of(
                connection, task, now, window * DAY, PORTIONS[window] if window == days else 1
            )
            for window in sorted({*WINDOWS, days})
        }
        row = await connection.fetchrow(LAST_TRACEBACK_SQL, task)
        return TaskDetail(
            now=now.timestamp(),
            windows=windows,
            chart=windows[days],
            errors=tuple(await read_errors(connection, task, limit=ERRORS)),
            traceback=None
            if row is None
            else Traceback(
                row["task"], row["finished_at"].timestamp(), row["error_type"] or "", row["traceback"]
            ),
            timeline=tuple(await read_history(connection, task, TIMELINE)),
            incidents=tuple(
                incident_line(row) for row in await connection.fetch(TASK_INCIDENTS_SQL, task, INCIDENTS)
            ),
        )


def _traceback(row: Row) -> Traceback:
    return Traceback(row["task"], row["finished_at"].timestamp(), row["error_type"] or "", row["traceback"])
