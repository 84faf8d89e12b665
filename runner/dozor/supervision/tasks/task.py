"""A supervised task: its state, its run in progress, and what the checkpoint must write."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import CheckpointRow, TaskRow
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import FailureRecord, RunOutcome, TaskState
from dozor.supervision.runs.arguments import fresh
from dozor.supervision.runs.context import Context
from dozor.supervision.runs.run import Run

_NOTHING: frozenset[str] = frozenset()
BATCH_SECONDS = 60.0
"""Successes within one such span become one row of history, so that 1 Hz costs no more than a minute's."""


class CheckerProcess(Protocol):
    """The child process of a task with `isolation: process`; see `execution.process.client`."""

    @property
    def pid(self) -> int | None: ...

    def warm(self) -> None: ...

    def retire(self) -> None: ...

    async def close(self) -> None: ...

    async def perform(self, run: Run, context: Context) -> None: ...


class SuccessBatch:
    """Successes not yet written to the history. Durations in seconds."""

    __slots__ = ("began_at", "last_number", "last_remote", "longest", "runs", "seconds", "urgent")

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.last_number = 0
        self.last_remote: str | None = None
        """Id of the last run, if a worker had it."""
        self.urgent = False
        """A recovery: people want to see it in the history at once."""
        self.runs = 0
        self.seconds = 0.0
        self.longest = 0.0


class SupervisedTask:
    """One task under supervision. Mutable; owned by the supervisor alone."""

    __slots__ = (
        "announced",
        "awaited_commit",
        "backlog",
        "backlog_limit",
        "behind",
        "child",
        "healthy_since",
        "held_for",
        "index",
        "last_ended",
        "overdue",
        "progress",
        "run",
        "spec",
        "state",
        "stretch",
        "written_past",
    )

    def __init__(self, spec: TaskSpec, index: int, state: TaskState) -> None:
        self.spec = spec
        self.index = index
        self.state = state
        self.run: Run | None = None
        self.last_ended: tuple[str | None, int, int] | None = None
        """Of the last run that ended otherwise than well, for the log: `Run.remote`, number, attempt."""
        self.stretch: SuccessBatch | None = None
        self.written_past: FailureRecord | None = None
        """The past that the database has: while it is the present one, the hot part is enough."""
        self.awaited_commit: int | None = None
        """The position that must be committed before its next run starts; see `start_gate`."""
        self.progress: tuple[float, float] | None = None
        self.backlog: tuple[int, datetime | None] | None = None
        self.backlog_limit: float | None = None
        """Seconds that the oldest item may wait."""
        self.behind = False
        self.child: CheckerProcess | None = None
        """Its own process, where it has one."""
        self.held_for: frozenset[str] = _NOTHING
        """Names of what is down and keeps it from running."""
        self.healthy_since: float | None = None
        """From when on a success is expected, if that is later than the last success."""
        self.overdue = False
        """A message was sent about it."""
        self.announced = False
        """Its start was logged; a healthy periodic task is not announced again at every tick."""

    def arguments(self) -> dict[str, Any]:
        """The configured arguments, for one run: what it changes in them reaches no other run."""
        args = self.spec.args
        return {name: fresh(value) for name, value in args.items()} if args else {}

    def add_success(self, run: Run, finished_at: float, *, urgent: bool) -> None:
        stretch, started_at = self.stretch, run.started_at
        if stretch is None:
            stretch = self.stretch = SuccessBatch(started_at)
        stretch.last_number = run.number
        stretch.last_remote = run.remote
        stretch.urgent = stretch.urgent or urgent
        stretch.runs += 1
        seconds = finished_at - started_at
        stretch.seconds += seconds
        if seconds > stretch.longest:
            stretch.longest = seconds

    def take_stretch(self, generation: int) -> RunRow | None:
        """The successes not yet written, as one row of history."""
        stretch = self.stretch
        if stretch is None:
            return None
        self.stretch = None
        succeeded_at = self.state.succeeded_at
        assert succeeded_at is not None
        return RunRow(
            id=id_of(stretch.last_remote, generation, stretch.last_number),
            task=self.spec.name,
            started_at=stretch.began_at,
            finished_at=succeeded_at,
            outcome=RunOutcome.SUCCEEDED.value,
            runs=stretch.runs,
            seconds=stretch.seconds,
            seconds_max=stretch.longest,
        )

    def hot_row(self) -> CheckpointRow:
        """The part of the state that healthy runs change."""
        state, next_at, due_at, running_since, _, _, runs, started_at, succeeded_at, duration, _ = self.state
        if running_since is not None or next_at is None:
            due_at = None
        return self.spec.name, state, runs, started_at, succeeded_at, duration, due_at, running_since

    def row(self) -> TaskRow:
        """The whole state, as the database keeps it."""
        state = self.state
        past = state.failure_record
        failure = past.failure
        backlog = self.backlog
        oldest = backlog[1] if backlog is not None else None
        return TaskRow(
            name=self.spec.name,
            state=state.state.value,
            consecutive_failures=state.failures,
            runs_total=state.runs_total,
            failures_total=past.failures_total,
            last_started_at=state.started_at,
            last_success_at=state.succeeded_at,
            last_duration=state.duration,
            failing_since=past.failing_since,
            last_failed_at=past.failed_at,
            last_error_type=failure.error_type if failure else None,
            last_error_text=failure.error_text if failure else None,
            last_error_where=failure.where if failure else None,
            next_run_at=state.due_at if state.next_at is not None and state.running_since is None else None,
            running_since=state.running_since,
            state_by=past.last_actor,
            progress_done=self.progress[0] if self.progress else None,
            progress_total=self.progress[1] if self.progress else None,
            backlog_size=backlog[0] if backlog else None,
            backlog_oldest_at=oldest.timestamp() if oldest else None,
        )


def run_id(generation: int, number: int) -> str:
    """Unique for ever: each process start has a generation of its own."""
    return f"{generation}-{number}"


def id_of(remote: str | None, generation: int, number: int) -> str:
    """As `ctx.run_id` has it: a run that a worker has keeps the id with which it began, `Run.remote`."""
    return remote or run_id(generation, number)
