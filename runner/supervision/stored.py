"""A task's state from its row in the database: what a new process begins with."""

from __future__ import annotations

from runner.storage.tasks import TaskRow
from runner.supervision.state import Failure, Past, State, TaskState


def from_row(row: TaskRow) -> TaskState:
    """The inverse of `Supervised.row`. The last traceback stays in the history, it is not read back."""
    failure = None
    if row.last_error_type is not None:
        failure = Failure(
            row.last_error_type, row.last_error_text or "", row.last_error_where or "", traceback=""
        )
    return TaskState(
        state=State(row.state),
        next_at=row.next_run_at,
        due_at=row.next_run_at,
        running_since=row.running_since,
        failures=row.consecutive_failures,
        runs_total=row.runs_total,
        started_at=row.last_started_at,
        succeeded_at=row.last_success_at,
        duration=row.last_duration,
        past=Past(
            failures_total=row.failures_total,
            failing_since=row.failing_since,
            failed_at=row.last_failed_at,
            failure=failure,
            by=row.state_by,
        ),
    )
