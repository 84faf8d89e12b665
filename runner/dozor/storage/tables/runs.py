"""Table `dozor.runs`: the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dozor.storage.postgres.pool import Connection, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run, or a stretch of successes. Times are seconds since the epoch (UTC), durations seconds."""

    id: str
    task: str
    started_at: float
    finished_at: float
    outcome: str
    runs: int = 1
    seconds: float
    seconds_max: float
    attempt: int = 1
    error_type: str | None = None
    error_text: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A row of history as read back."""

    id: str
    task: str
    started_at: datetime
    finished_at: datetime
    outcome: str
    runs: int
    seconds: float
    seconds_max: float
    attempt: int
    error_type: str | None
    error_text: str | None


ADD_RUN_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt,
                        error_type, error_text, traceback)
SELECT n.id, n.task, to_timestamp(n.started_at), to_timestamp(n.finished_at), n.outcome, n.runs, n.seconds,
       n.seconds_max, n.attempt, n.error_type, n.error_text, n.traceback
FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::text[], $6::int[], $7::float8[],
            $8::float8[], $9::int[], $10::text[], $11::text[], $12::text[])
     AS n(id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type,
          error_text, traceback)
ON CONFLICT (id) DO NOTHING
"""

HISTORY_SQL = """
SELECT id, task, started_at, finished_at, outcome, runs, seconds, seconds_max, attempt, error_type, error_text
FROM dozor.runs WHERE task = $1 ORDER BY finished_at DESC LIMIT $2
"""


PRUNE_RUNS_SQL = """
DELETE FROM dozor.runs WHERE id IN (
    SELECT id FROM dozor.runs WHERE finished_at < now() - make_interval(days => $1) LIMIT 10000)
"""


# What came before a person restarted the task does not count against it any more.
RECENT_FAILURES_SQL = """
SELECT r.task, extract(epoch FROM r.finished_at)::float8 AS at
FROM dozor.runs r
WHERE r.task = ANY($1::text[]) AND r.outcome IN ('failed', 'timed_out') AND r.finished_at > to_timestamp($2)
  AND r.finished_at > coalesce((
      SELECT max(c.finished_at) FROM dozor.commands c
      WHERE c.task = r.task AND c.name = 'restart' AND c.state = 'done'), '-infinity')
ORDER BY r.finished_at
"""


async def read_failures(
    connection: Connection, tasks: Sequence[str], since: float
) -> dict[str, tuple[float, ...]]:
    """When each task failed since then and since it was last restarted; seconds since the epoch."""
    found: dict[str, tuple[float, ...]] = {}
    for row in await connection.fetch(RECENT_FAILURES_SQL, list(tasks), since):
        found[row["task"]] = (*found.get(row["task"], ()), row["at"])
    return found


async def add(connection: Connection, rows: Sequence[RunRow]) -> None:
    """Add to the history; a row that is there already is not changed."""
    await connection.execute(
        ADD_RUN_SQL,
        [r.id for r in rows],
        [r.task for r in rows],
        [r.started_at for r in rows],
        [r.finished_at for r in rows],
        [r.outcome for r in rows],
        [r.runs for r in rows],
        [r.seconds for r in rows],
        [r.seconds_max for r in rows],
        [r.attempt for r in rows],
        [r.error_type for r in rows],
        [r.error_text for r in rows],
        [r.traceback for r in rows],
    )


async def read_history(connection: Connection, task: str, limit: int = 50) -> list[RunRecord]:
    """The newest first."""
    return [_record(row) for row in await connection.fetch(HISTORY_SQL, task, limit)]


async def prune(connection: Connection, days: int) -> None:
    """Delete up to 10,000 rows older than `days`."""
    await connection.execute(PRUNE_RUNS_SQL, days)


def _record(row: Row) -> RunRecord:
    return RunRecord(**dict(row))
