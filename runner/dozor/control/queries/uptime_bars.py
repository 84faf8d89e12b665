"""Uptime bars: in which of its last periods a task had failures. A read model over the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim

from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.storage.postgres.pool import Connection

PERIODS = 90
SHORTEST = 60.0
"""Seconds: the successes of a minute are one row of the history."""

BARS_SQL = """
SELECT task, array_agg(ago) AS ago, array_agg(failed) AS failed, array_agg(runs) AS runs
FROM (
    SELECT n.task, (floor(extract(epoch FROM now() - r.finished_at) / n.period))::int AS ago,
           coalesce(sum(r.runs) FILTER (WHERE r.outcome IN ('failed', 'timed_out', 'lost')), 0)::int
               AS failed,
           sum(r.runs)::int AS runs
    FROM unnest($1::text[], $2::float8[]) AS n(task, period)
    JOIN dozor.runs r ON r.task = n.task AND r.finished_at > now() - make_interval(secs => n.period * $3)
    WHERE r.outcome <> 'cancelled'
    GROUP BY 1, 2
) AS periods GROUP BY task
"""

NONE, OK, FAILED = ".", "+", "x"
"""A period without a run, with successes only, with a failure."""


@dataclass(frozen=True, slots=True)
class Bars:
    """`signs`: one of NONE, OK and FAILED a period, the oldest first. `failed`: (index, failures, runs)."""

    signs: str
    failed: tuple[tuple[int, int, int], ...] = ()


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


async def read_bars(connection: Connection, periods: Mapping[str, float]) -> dict[str, Bars]:
    """PERIODS periods of each task. `periods`: seconds of one period, by task."""
    bars = dict.fromkeys(periods, Bars(NONE * PERIODS))
    for row in await connection.fetch(BARS_SQL, list(periods), list(periods.values()), PERIODS):
        signs = [NONE] * PERIODS
        failures = []
        for ago, failed, runs in zip(row["ago"], row["failed"], row["runs"], strict=True):
            if 0 <= ago < PERIODS:
                index = PERIODS - 1 - ago
                signs[index] = FAILED if failed else OK
                if failed:
                    failures.append((index, failed, runs))
        bars[row["task"]] = Bars("".join(signs), tuple(sorted(failures)))
    return bars
