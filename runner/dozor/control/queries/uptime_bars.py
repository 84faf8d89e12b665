"""The last periods of a task at a glance: in which of them did runs fail? A read model over the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from cronsim import CronSim

from dozor.config.tasks import Continuous, Cron, Every, Schedule
from dozor.storage.postgres.pool import Connection

PERIODS = 90
SHORTEST = 60.0
"""Seconds: the successes of a minute are one row of the history."""

BARS_SQL = """
SELECT n.task, (floor(extract(epoch FROM now() - r.finished_at) / n.period))::int AS ago,
       bool_or(r.outcome IN ('failed', 'timed_out', 'lost')) AS failed
FROM unnest($1::text[], $2::float8[]) AS n(task, period)
JOIN dozor.runs r ON r.task = n.task AND r.finished_at > now() - make_interval(secs => n.period * $3)
WHERE r.outcome <> 'cancelled'
GROUP BY 1, 2
"""

NONE, OK, FAILED = ".", "+", "x"
"""A period without a run, with successes only, with a failure."""


def period_of(schedule: Schedule) -> float:
    """Seconds of one period: a run's worth, and at least a minute."""
    match schedule:
        case Every(seconds):
            return max(SHORTEST, seconds)
        case Cron(expression, timezone):
            ticks = CronSim(expression, datetime.now(UTC).astimezone(timezone))
            first, second = next(ticks), next(ticks)
            return max(SHORTEST, (second - first).total_seconds())
        case Continuous():
            return SHORTEST


async def read_bars(connection: Connection, periods: Mapping[str, float]) -> dict[str, str]:
    """For each task PERIODS characters, the oldest first. `periods`: seconds of one period, by task."""
    bars = {task: [NONE] * PERIODS for task in periods}
    for row in await connection.fetch(BARS_SQL, list(periods), list(periods.values()), PERIODS):
        if 0 <= row["ago"] < PERIODS:
            bars[row["task"]][PERIODS - 1 - row["ago"]] = FAILED if row["failed"] else OK
    return {task: "".join(signs) for task, signs in bars.items()}
