"""The result of a command: the run that it started, or the same command given a moment before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dozor.control.commands.commands import CommandName, CommandReason
from dozor.storage.postgres.pool import Connection, Pool
from dozor.supervision.core.state import RunOutcome

SAME_WITHIN = 10.0
"""Seconds in which the same command for the same task is taken for the same wish."""
REACTION = 2.0
"""Seconds after a stop in which a command cannot be an answer to it yet: it is a second press."""

ENDED_SQL = """
UPDATE dozor.commands SET run_outcome = $2, run_seconds = $3, run_error = $4 WHERE id = $1
"""

RUNS_SQL = """
SELECT id, run_number, run_outcome, run_seconds, run_error,
       extract(epoch FROM now() - finished_at)::float8 AS since
FROM dozor.commands WHERE id = ANY($1::int8[]) AND run_number IS NOT NULL
"""

# A restart that is claimed may have ended the run of the row and begun another one. A run that was cancelled
# after no time at all never began (NEVER_BEGAN_SQL): another one has got its number.
INTERRUPTED_SQL = """
SELECT c.id, c.task, c.run_number
FROM dozor.tasks t JOIN dozor.commands c ON c.task = t.name
WHERE t.name = ANY($1::text[]) AND (
    c.state = 'done' AND (c.run_number = t.runs_total AND t.running_since IS NOT NULL
                          AND (c.run_outcome IS DISTINCT FROM 'cancelled' OR c.run_seconds IS NOT NULL)
                          OR c.run_number = t.runs_total + 1 AND c.run_outcome IS NULL)
    OR c.state = 'pending' AND c.name = 'restart' AND c.result LIKE 'claimed:%'
       AND t.running_since IS NOT NULL)
"""

LOST_SQL = """
UPDATE dozor.commands SET run_outcome = 'lost', run_seconds = extract(epoch FROM now() - finished_at)
WHERE id = ANY($1::int8[]) AND state = 'done' AND run_outcome IS NULL
"""

UNCONFIRMED_SQL = """
UPDATE dozor.commands SET state = 'refused', result = $2, run_number = NULL
WHERE id = ANY($1::int8[]) AND state = 'done' AND run_outcome IS NULL
"""

NEVER_BEGAN_SQL = """
UPDATE dozor.commands SET run_outcome = 'cancelled' WHERE id = $1 AND run_outcome IS NULL
"""

# The task has stopped since the command, long enough ago for a person to know it.
LATEST_SQL = """
SELECT c.name, c.actor, c.state, extract(epoch FROM now() - c.created_at)::float8 AS age,
       coalesce(t.state = 'stopped' AND t.last_failed_at > c.created_at
                AND t.last_failed_at < now() - make_interval(secs => $2), false) AS stopped_again
FROM dozor.commands c LEFT JOIN dozor.tasks t ON t.name = c.task
WHERE c.task = $1 ORDER BY c.id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """`outcome` None: it is still running. `seconds`: how long it took, or the time since the command."""

    number: int
    outcome: RunOutcome | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateCommand:
    """The same command, given `age` seconds ago by `actor` ("telegram:222")."""

    actor: str
    age: float


@dataclass(frozen=True, slots=True)
class InterruptedStart:
    """A command whose run had no recorded end when the runner was lost; it may have begun or not.

    `run_number` None: the command's result was not written either.
    """

    command_id: int
    task: str
    run_number: int | None


async def read_interrupted(connection: Connection, tasks: Sequence[str]) -> list[InterruptedStart]:
    """Of these tasks; to be called before the runner that begins changes their rows."""
    rows = await connection.fetch(INTERRUPTED_SQL, list(tasks))
    return [InterruptedStart(*row) for row in rows]


async def record_lost(connection: Connection, command_ids: Sequence[int]) -> None:
    """Write down that it is not known how the runs of these commands ended, unless it is known."""
    await connection.execute(LOST_SQL, list(command_ids))


async def record_unconfirmed(connection: Connection, command_ids: Sequence[int]) -> None:
    """Write down that it is not known whether the runs that these commands waited for have begun."""
    await connection.execute(UNCONFIRMED_SQL, list(command_ids), CommandReason.UNCONFIRMED.value)


async def record_never_began(pool: Pool, command_id: int) -> None:
    """Write down that the start for which the command waited was called off."""
    await pool.execute(NEVER_BEGAN_SQL, command_id)


async def record_end(
    pool: Pool, command_id: int, outcome: RunOutcome, seconds: float, error: str | None
) -> None:
    """Write down how the run that the command has started ended."""
    await pool.execute(ENDED_SQL, command_id, outcome.value, seconds, error)


async def read_started(pool: Pool, command_ids: Sequence[int]) -> dict[int, StartedRun]:
    """The runs that these commands have started, by the command's id."""
    rows = await pool.fetch(RUNS_SQL, list(command_ids))
    return {
        row["id"]: StartedRun(
            row["run_number"],
            None if row["run_outcome"] is None else RunOutcome(row["run_outcome"]),
            row["since"] if row["run_seconds"] is None else row["run_seconds"],
            row["run_error"],
        )
        for row in rows
    }


async def read_earlier(connection: Connection, name: CommandName, task: str) -> DuplicateCommand | None:
    """Whether the last command for `task` is the same one, a moment ago, and was not refused.

    A task that has stopped again since is another situation.
    """
    row = await connection.fetchrow(LATEST_SQL, task, REACTION)
    if row is None or row["name"] != name.value or row["age"] > SAME_WITHIN or row["stopped_again"]:
        return None
    return DuplicateCommand(row["actor"], row["age"]) if row["state"] in ("pending", "done") else None
