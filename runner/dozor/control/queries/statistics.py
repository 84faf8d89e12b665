"""Statistics of a task's runs over a day, a week or a month. A read model over the history.

Times are seconds since the epoch (UTC), durations in seconds. A row of history may summarise many successes:
its longest run is known, and the others count as their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dozor.storage.postgres.pool import Connection, Row

STATISTICS_SQL = """
WITH part AS (
    SELECT floor(extract(epoch FROM finished_at - $2::timestamptz) / $3::float8)::int AS portion,
           outcome, runs, seconds, seconds_max, attempt
    FROM dozor.runs WHERE task = $1 AND finished_at >= $2 AND outcome IN ('succeeded', 'failed', 'timed_out')
), durations AS (
    SELECT portion, (seconds - seconds_max) / (runs - 1) AS value, runs - 1 AS weight
    FROM part WHERE runs > 1
    UNION ALL
    SELECT portion, seconds_max, 1 FROM part
), ranked AS (
    SELECT portion, value, sum(weight) OVER (PARTITION BY portion ORDER BY value) AS upto,
           sum(weight) OVER (PARTITION BY portion) AS total
    FROM durations
), quantiles AS MATERIALIZED ( -- else old statistics of the table make it one sort for each row joined
    SELECT portion, min(value) FILTER (WHERE upto >= 0.5 * total) AS p50,
           min(value) FILTER (WHERE upto >= 0.95 * total) AS p95
    FROM ranked GROUP BY portion
)
SELECT portion, coalesce(sum(runs) FILTER (WHERE outcome = 'succeeded'), 0)::bigint AS succeeded,
       coalesce(sum(runs) FILTER (WHERE outcome <> 'succeeded'), 0)::bigint AS failed,
       coalesce(max(attempt) FILTER (WHERE outcome <> 'succeeded'), 0) AS streak, p50, p95
FROM part JOIN quantiles USING (portion) GROUP BY portion, p50, p95 ORDER BY portion
"""

INCIDENT_SPANS_SQL = """
SELECT opened_at, resolved_at, severity FROM dozor.incidents
WHERE task = $1 AND (resolved_at IS NULL OR resolved_at >= $2) ORDER BY opened_at
"""


@dataclass(frozen=True, slots=True)
class Portion:
    """`at`: where it begins. `streak`: the longest failure streak that was reached in it."""

    at: float
    succeeded: int
    failed: int
    streak: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class IncidentSpan:
    """`to` None: still open."""

    since: float
    to: float | None
    severity: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """`portions` are `width` seconds long; those without a run are absent. `whole`: all of them as one."""

    since: float
    now: float
    width: float
    portions: tuple[Portion, ...]
    whole: Portion | None
    incidents: tuple[IncidentSpan, ...]


async def read_statistics(connection: Connection, task: str, seconds: float, portions: int) -> Statistics:
    """The last `seconds`, in as many `portions`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        now: datetime = await connection.fetchval("SELECT now()")
        return await read_statistics_of(connection, task, now, seconds, portions)


async def read_statistics_of(
    connection: Connection, task: str, now: datetime, seconds: float, portions: int
) -> Statistics:
    """The `seconds` before `now`. Call it in a transaction whose time this is."""
    since = datetime.fromtimestamp(now.timestamp() - seconds, now.tzinfo)
    width = seconds / portions
    whole = await connection.fetch(STATISTICS_SQL, task, since, seconds * 2)
    rows = whole if portions == 1 else await connection.fetch(STATISTICS_SQL, task, since, width)
    spans = await connection.fetch(INCIDENT_SPANS_SQL, task, since)
    start = since.timestamp()
    return Statistics(
        since=start,
        now=now.timestamp(),
        width=width,
        portions=tuple(_portion(row, start, width) for row in rows),
        whole=_portion(whole[0], start, 0.0) if whole else None,
        incidents=tuple(
            IncidentSpan(
                row["opened_at"].timestamp(),
                None if row["resolved_at"] is None else row["resolved_at"].timestamp(),
                row["severity"],
            )
            for row in spans
        ),
    )


def _portion(row: Row, since: float, width: float) -> Portion:
    return Portion(
        at=since + row["portion"] * width,
        succeeded=row["succeeded"],
        failed=row["failed"],
        streak=row["streak"],
        p50=row["p50"],
        p95=row["p95"],
    )
