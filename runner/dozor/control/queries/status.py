"""What `/status`, `dozor status` and `/api/status` show: a read model over the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dozor.clock import to_iso
from dozor.control.queries.cluster import ClusterReport, read_cluster
from dozor.storage.postgres.pool import Connection, Row
from dozor.storage.tables.runners import read_holder
from dozor.supervision.core.state import State
from dozor.tracebacks import error_line

RUNNER_SQL = """
SELECT id, host, pid, version, started_at, seen_at, ended_at, now() AS now
FROM dozor.runners ORDER BY id DESC LIMIT 1
"""

COLUMNS = """
name, description, schedule, state, consecutive_failures, max_consecutive_failures, runs_total,
       failures_total, last_started_at, last_success_at, last_duration, failing_since, last_failed_at,
       last_error_type, last_error_text, last_error_where, next_run_at, running_since, state_by,
       progress_done, progress_total, backlog_size, backlog_oldest_at
"""

TASKS_SQL = f"SELECT {COLUMNS} FROM dozor.tasks WHERE configured ORDER BY position, name"  # noqa: S608 -- constants

TASK_SQL = TASKS_SQL.replace("WHERE configured", "WHERE configured AND name = $1")

NAMES_SQL = "SELECT name FROM dozor.tasks WHERE configured ORDER BY position, name"

ALL_NAMES_SQL = "SELECT name FROM dozor.tasks ORDER BY configured DESC, position, name"

# A leader of a cluster behind a pgbouncer holds no lock.
LEASED_SQL = "SELECT expires_at > clock_timestamp() FROM dozor.lease"

BACKLOG_SQL = """
SELECT count(*) AS pending, extract(epoch FROM now() - min(created_at))::float8 AS oldest_pending_s
FROM dozor.notifications WHERE state IN ('pending', 'sending')
"""


WAITING_SQL = """
SELECT n.destination, extract(epoch FROM d.held_until)::float8 AS until,
       extract(epoch FROM min(n.created_at))::float8 AS since, max(n.last_error) AS error
FROM dozor.notifications n LEFT JOIN dozor.destinations d ON d.key = n.destination AND d.held_until > now()
WHERE n.state IN ('pending', 'sending')
GROUP BY n.destination, d.held_until
HAVING d.held_until > now() + interval '5 seconds'
    OR (min(n.created_at) < now() - interval '2 minutes' AND max(n.attempts) > 0)
ORDER BY n.destination
"""


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """The last runner that worked on this database. `alive`: it wrote within the last 10 s."""

    id: int
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float
    alive: bool
    role: str = "all"
    """Of one that is alive: "all", or "standby" of a cluster."""


@dataclass(frozen=True, slots=True)
class Progress:
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task. Times are seconds since the epoch (UTC), durations in seconds."""

    name: str
    description: str
    schedule: str
    state: State
    consecutive_failures: int
    max_consecutive_failures: int | None
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
    running_for_s: float | None
    state_by: str | None
    progress: Progress | None
    backlog_size: int | None
    backlog_oldest_at: float | None

    @property
    def last_error(self) -> str | None:
        if self.last_error_type is None:
            return None
        return error_line(self.last_error_type, self.last_error_text)

    def to_json(self) -> dict[str, Any]:
        """As CONTRACT's `dozor status --json`, and more."""
        return {
            "name": self.name,
            "state": self.state.value,
            "consecutive_failures": self.consecutive_failures,
            "max_consecutive_failures": self.max_consecutive_failures,
            "runs_total": self.runs_total,
            "failures_total": self.failures_total,
            "last_started_at": to_iso(self.last_started_at),
            "last_success_at": to_iso(self.last_success_at),
            "last_error": self.last_error,
            "next_run_at": to_iso(self.next_run_at),
            "running_for_s": None if self.running_for_s is None else round(self.running_for_s, 3),
            "progress": None
            if self.progress is None
            else {"done": self.progress.done, "total": self.progress.total},
            "schedule": self.schedule,
            "description": self.description,
            "failing_since": to_iso(self.failing_since),
            "last_failed_at": to_iso(self.last_failed_at),
            "last_error_where": self.last_error_where,
            "state_by": self.state_by,
            "backlog": None
            if self.backlog_size is None
            else {"size": self.backlog_size, "oldest_at": to_iso(self.backlog_oldest_at)},
        }


@dataclass(frozen=True, slots=True)
class ChatWait:
    """`destination` "": the chat of the configuration. Times are seconds since the epoch."""

    destination: str
    since: float
    """Of the oldest message."""
    until: float | None
    """Until when Telegram makes the chat wait; None: it is tried again and again."""
    error: str | None


@dataclass(frozen=True, slots=True)
class AlertsBacklog:
    """Messages that are not delivered yet."""

    pending: int
    oldest_pending_s: float | None
    waiting: tuple[ChatWait, ...] = ()
    """Chats that messages cannot reach now."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """`now` is the database's clock, seconds since the epoch."""

    runner: RunnerInfo | None
    tasks: tuple[TaskStatus, ...]
    alerts: AlertsBacklog
    now: float
    cluster: ClusterReport | None = None
    """None: without a cluster."""

    @property
    def stopped(self) -> tuple[TaskStatus, ...]:
        return tuple(task for task in self.tasks if task.state is State.STOPPED)

    def to_json(self) -> dict[str, Any]:
        """As CONTRACT's `dozor status --json`."""
        runner = self.runner
        return {
            "runner": None
            if runner is None
            else {
                "id": runner.id,
                "role": runner.role if runner.alive else "gone",
                "started_at": to_iso(runner.started_at),
                "version": runner.version,
                "host": runner.host,
                "pid": runner.pid,
                "seen_at": to_iso(runner.seen_at),
                "alive": runner.alive,
            },
            "tasks": [task.to_json() for task in self.tasks],
            "alerts": {
                "pending": self.alerts.pending,
                "oldest_pending_s": None
                if self.alerts.oldest_pending_s is None
                else round(self.alerts.oldest_pending_s, 3),
            },
        }


async def read_names(connection: Connection) -> list[str]:
    """Of all configured tasks, in the order of the configuration."""
    return [row["name"] for row in await connection.fetch(NAMES_SQL)]


async def read_all_names(connection: Connection) -> list[str]:
    """Of all tasks that were ever configured, those of the present configuration first."""
    return [row["name"] for row in await connection.fetch(ALL_NAMES_SQL)]


async def runner_on_watch(connection: Connection) -> bool:
    """Whether a runner works on this database: it wrote lately, and still holds the lock or the lease.

    A killed runner loses the lock at once, long before its last sign of life is old.
    """
    runner = (await read_status_of(connection, ())).runner
    if runner is None or not runner.alive:
        return False
    return await read_holder(connection) is not None or bool(await connection.fetchval(LEASED_SQL))


async def read_backlog(connection: Connection) -> AlertsBacklog:
    """Undelivered messages, from the database."""
    row = await connection.fetchrow(BACKLOG_SQL)
    assert row is not None
    waiting = await connection.fetch(WAITING_SQL) if row["pending"] else []
    return AlertsBacklog(
        row["pending"], row["oldest_pending_s"], tuple(ChatWait(**dict(one)) for one in waiting)
    )


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _task(row: Row, now: float) -> TaskStatus:
    running_since = _seconds(row["running_since"])
    total = row["progress_total"]
    return TaskStatus(
        name=row["name"],
        description=row["description"],
        schedule=row["schedule"],
        state=State(row["state"]),
        consecutive_failures=row["consecutive_failures"],
        max_consecutive_failures=row["max_consecutive_failures"],
        runs_total=row["runs_total"],
        failures_total=row["failures_total"],
        last_started_at=_seconds(row["last_started_at"]),
        last_success_at=_seconds(row["last_success_at"]),
        last_duration=row["last_duration"],
        failing_since=_seconds(row["failing_since"]),
        last_failed_at=_seconds(row["last_failed_at"]),
        last_error_type=row["last_error_type"],
        last_error_text=row["last_error_text"],
        last_error_where=row["last_error_where"],
        next_run_at=_seconds(row["next_run_at"]),
        running_for_s=None if running_since is None else max(0.0, now - running_since),
        state_by=row["state_by"],
        progress=None if total is None else Progress(row["progress_done"], total),
        backlog_size=row["backlog_size"],
        backlog_oldest_at=_seconds(row["backlog_oldest_at"]),
    )


async def read_status(connection: Connection, task: str | None = None) -> StatusReport:
    """One consistent picture (a repeatable-read snapshot); at most a checkpoint (1 s) behind the runner.

    `task`: of this task alone (none if it is not configured).
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await (connection.fetch(TASKS_SQL) if task is None else connection.fetch(TASK_SQL, task))
        return await read_status_of(connection, rows)


async def read_status_of(connection: Connection, task_rows: Sequence[Row]) -> StatusReport:
    """With these tasks, as rows of `COLUMNS`. Call it in the transaction that has read them."""
    runner_row = await connection.fetchrow(RUNNER_SQL)
    alerts = await read_backlog(connection)
    now: datetime = await connection.fetchval("SELECT now()")
    runner = None
    if runner_row is not None:
        fresh = (runner_row["now"] - runner_row["seen_at"]).total_seconds() < RUNNER_FRESH_FOR
        runner = RunnerInfo(
            id=runner_row["id"],
            host=runner_row["host"],
            pid=runner_row["pid"],
            version=runner_row["version"],
            started_at=runner_row["started_at"].timestamp(),
            seen_at=runner_row["seen_at"].timestamp(),
            alive=runner_row["ended_at"] is None and fresh,
        )
    return StatusReport(
        runner=runner,
        tasks=tuple(_task(row, now.timestamp()) for row in task_rows),
        alerts=alerts,
        now=now.timestamp(),
        cluster=await read_cluster(connection),
    )


RUNNER_FRESH_FOR = 10.0
"""Seconds without a checkpoint after which a runner is taken for gone."""
