"""Restores the state of a task from its row, and records a run that the previous process lost."""

from __future__ import annotations

from dataclasses import replace

from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import next_due
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


def after_interrupted_start(row: TaskRow, policy: Policy, run_number: int | None, now: float) -> TaskRow:
    """The row of a task whose run by command was lost with its runner: the next run is due by the schedule.

    Any other run that was lost is due again at once. This one is not: it may have begun, and a command starts
    one run at most. `run_number`: of the lost run, None if it was not written. `now`: seconds since the
    epoch.
    """
    over = replace(row, running_since=None, runs_total=max(row.runs_total, run_number or 0))
    if row.state in (State.PAUSED.value, State.STOPPED.value):
        return over
    began = next((at for at in (row.running_since, row.next_run_at) if at is not None), now)
    due = next_due(
        policy.schedule,
        min(began, now),
        now,
        rest=policy.restart_delay.initial,
        skip_missed=policy.skip_missed,
        offset=policy.offset,
    )
    return replace(over, state=State.WAITING.value, next_run_at=due)
