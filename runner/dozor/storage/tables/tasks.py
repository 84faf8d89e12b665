"""Table `dozor.tasks`: the state of each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING

from dozor.storage.postgres.pool import Connection, Row

if TYPE_CHECKING:  # child processes import this module, and need no configuration
    from dozor.config.sections.tasks import TaskConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A snapshot of one task's state. Times are seconds since the epoch (UTC), durations seconds."""

    name: str
    state: str
    consecutive_failures: int
    runs_total: int
    failures_total: int
    last_started_at: float | None
    last_success_at: float | None
    last_duration: float | None
    failing_since: float | None
    last_failed_at: float | None
    last_error_type: str | None
    last_error_text: str | None
    last_error_where: str | None
    next_run_at: float | None
    running_since: float | None
    state_by: str | None
    progress_done: float | None = None
    progress_total: float | None = None
    backlog_size: int | None = None
    backlog_oldest_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDeclaration:
    """The configuration of a task, for those who read the database."""

    name: str
    description: str
    schedule: str
    max_consecutive_failures: int | None


# Only what has changed: ON CONFLICT locks, and so writes, every row that is there already.
DECLARE_SQL = """
INSERT INTO dozor.tasks (name, position, description, schedule, max_consecutive_failures, state, updated_at)
SELECT d.name, d.position, d.description, d.schedule, d.max_failures, 'waiting', now()
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[])
         AS d(name, position, description, schedule, max_failures)
     LEFT JOIN dozor.tasks t ON t.name = d.name
WHERE t.name IS NULL OR (t.configured, t.position, t.description, t.schedule, t.max_consecutive_failures)
    IS DISTINCT FROM (true, d.position, d.description, d.schedule, d.max_failures)
ON CONFLICT (name) DO UPDATE SET configured = true, position = excluded.position,
    description = excluded.description, schedule = excluded.schedule,
    max_consecutive_failures = excluded.max_consecutive_failures
"""

# The session of the runner plans without looking at the parameters. `NOT name = ANY($1)` would then compare
# each row with each name, a hundred million times with 10,000 tasks; a join is a hash table.
UNDECLARE_SQL = """
UPDATE dozor.tasks t SET configured = false, running_since = NULL
WHERE configured AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS d(name) WHERE d.name = t.name)
"""

LOAD_SQL = """
SELECT name, state, consecutive_failures, runs_total, failures_total,
       extract(epoch FROM last_started_at)::float8 AS last_started_at,
       extract(epoch FROM last_success_at)::float8 AS last_success_at, last_duration,
       extract(epoch FROM failing_since)::float8 AS failing_since,
       extract(epoch FROM last_failed_at)::float8 AS last_failed_at,
       last_error_type, last_error_text, last_error_where,
       extract(epoch FROM next_run_at)::float8 AS next_run_at,
       extract(epoch FROM running_since)::float8 AS running_since,
       state_by, progress_done, progress_total, backlog_size,
       extract(epoch FROM backlog_oldest_at)::float8 AS backlog_oldest_at
FROM unnest($1::text[]) AS d(name) JOIN dozor.tasks t USING (name)
WHERE runs_total <> 0 OR state <> 'waiting'
"""

WRITE_SQL = """
UPDATE dozor.tasks t SET
    state = n.state, consecutive_failures = n.consecutive_failures, runs_total = n.runs_total,
    failures_total = n.failures_total, last_started_at = to_timestamp(n.last_started_at),
    last_success_at = to_timestamp(n.last_success_at), last_duration = n.last_duration,
    failing_since = to_timestamp(n.failing_since), last_failed_at = to_timestamp(n.last_failed_at),
    last_error_type = n.last_error_type, last_error_text = n.last_error_text,
    last_error_where = n.last_error_where, next_run_at = to_timestamp(n.next_run_at),
    running_since = to_timestamp(n.running_since), state_by = n.state_by,
    progress_done = n.progress_done, progress_total = n.progress_total, backlog_size = n.backlog_size,
    backlog_oldest_at = to_timestamp(n.backlog_oldest_at), updated_at = now()
FROM unnest($1::text[], $2::text[], $3::int[], $4::int8[], $5::int8[], $6::float8[], $7::float8[],
            $8::float8[], $9::float8[], $10::float8[], $11::text[], $12::text[], $13::text[], $14::float8[],
            $15::float8[], $16::text[], $17::float8[], $18::float8[], $19::int8[], $20::float8[])
     AS n(name, state, consecutive_failures, runs_total, failures_total, last_started_at, last_success_at,
          last_duration, failing_since, last_failed_at, last_error_type, last_error_text, last_error_where,
          next_run_at, running_since, state_by, progress_done, progress_total, backlog_size,
          backlog_oldest_at)
WHERE t.name = n.name
"""

CHECKPOINT_SQL = """
UPDATE dozor.tasks t SET
    state = n.state, runs_total = n.runs_total, last_started_at = to_timestamp(n.last_started_at),
    last_success_at = to_timestamp(n.last_success_at), last_duration = n.last_duration,
    next_run_at = to_timestamp(n.next_run_at), running_since = to_timestamp(n.running_since),
    updated_at = now()
FROM unnest($1::text[], $2::text[], $3::int8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
            $8::float8[])
     AS n(name, state, runs_total, last_started_at, last_success_at, last_duration, next_run_at,
          running_since)
WHERE t.name = n.name
"""

CheckpointRow = tuple[str, str, int, float | None, float | None, float | None, float | None, float | None]
"""The part of a `TaskRow` that a healthy run changes, in the order of CHECKPOINT_SQL."""

_values = attrgetter(*(field.name for field in fields(TaskRow)))
"""A row in the order of WRITE_SQL."""


async def declare(connection: Connection, declarations: Sequence[TaskDeclaration]) -> None:
    """Make the table hold exactly these tasks as configured; the others keep their past, unlisted."""
    await connection.execute(
        DECLARE_SQL,
        [d.name for d in declarations],
        list(range(len(declarations))),
        [d.description for d in declarations],
        [d.schedule for d in declarations],
        [d.max_consecutive_failures for d in declarations],
    )
    await connection.execute(UNDECLARE_SQL, [d.name for d in declarations])


async def load(connection: Connection, names: Sequence[str]) -> dict[str, TaskRow]:
    """The stored state by task name; tasks that never ran are absent."""
    rows = await connection.fetch(LOAD_SQL, list(names))
    return {row["name"]: _task_row(row) for row in rows}


async def write(connection: Connection, rows: Iterable[TaskRow]) -> None:
    """Overwrite the state of these tasks."""
    columns = list(zip(*map(_values, rows), strict=True))
    await connection.execute(WRITE_SQL, *columns)


async def checkpoint(connection: Connection, rows: Sequence[CheckpointRow]) -> None:
    """Overwrite what healthy runs change."""
    await connection.execute(CHECKPOINT_SQL, *zip(*rows, strict=True))


def _task_row(row: Row) -> TaskRow:
    return TaskRow(**row)


def declaration(task: TaskConfig) -> TaskDeclaration:
    return TaskDeclaration(
        name=task.name,
        description=task.description,
        schedule=str(task.schedule),
        max_consecutive_failures=task.max_consecutive_failures,
    )
