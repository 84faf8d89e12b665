"""Restores the state of a task from its row, and records a run that the previous process lost."""

from __future__ import annotations

from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.state import NO_FAILURES, Failure, FailureRecord, RunOutcome, State, TaskState

_STATES = {state.value: state for state in State}


def from_row(row: TaskRow, recent: tuple[float, ...] = ()) -> TaskState:
    """The inverse of `Supervised.row`. The last traceback stays in the history, it is not read back.

    `recent`: when it failed lately, where its policy asks for that.
    """
    failure = None
    if row.last_error_type is not None:
        failure = Failure(
            row.last_error_type, row.last_error_text or "", row.last_error_where or "", traceback=""
        )
    record = FailureRecord(
        failures_total=row.failures_total,
        failing_since=row.failing_since,
        failed_at=row.last_failed_at,
        failure=failure,
        last_actor=row.state_by,
        recent=recent,
    )
    return TaskState(
        state=_STATES[row.state],
        next_at=row.next_run_at,
        due_at=row.next_run_at,
        running_since=row.running_since,
        failures=row.consecutive_failures,
        runs_total=row.runs_total,
        started_at=row.last_started_at,
        succeeded_at=row.last_success_at,
        duration=row.last_duration,
        failure_record=NO_FAILURES if record == NO_FAILURES else record,
    )


def lost_run(row: TaskRow, generation: int, now: float) -> RunRow | None:
    """The run that was in progress when the runner before this one died, for the history."""
    if row.running_since is None:
        return None
    seconds = max(0.0, now - row.running_since)
    return RunRow(
        id=f"{generation}-lost-{row.name}",
        task=row.name,
        started_at=row.running_since,
        finished_at=now,
        outcome=RunOutcome.LOST.value,
        seconds=seconds,
        seconds_max=seconds,
        attempt=row.consecutive_failures + 1,
    )
