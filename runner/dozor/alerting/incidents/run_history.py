"""The rows of history that a transition of a task adds."""

from __future__ import annotations

from dozor.storage.tables.runs import RunRow
from dozor.supervision.core.events import Cancelled, Interrupted
from dozor.supervision.core.state import RunOutcome
from dozor.supervision.tasks.task import id_of
from dozor.supervision.telemetry.observer import Transition


def finished_runs(transition: Transition, generation: int) -> tuple[RunRow, ...]:
    """The ended run, after the batch of successes before it."""
    task, run, now = transition.task, transition.run, transition.now
    stretch = task.take_stretch(generation)
    earlier = () if stretch is None else (stretch,)
    if run is None:
        return earlier
    failure = transition.after.failure_record.failure
    if isinstance(transition.event, Cancelled | Interrupted):
        outcome = RunOutcome.CANCELLED
    else:
        assert failure is not None
        outcome = RunOutcome.TIMED_OUT if failure.timed_out else RunOutcome.FAILED
    failed = outcome is not RunOutcome.CANCELLED or isinstance(transition.event, Interrupted)
    seconds = now - run.started_at
    ended = RunRow(
        id=id_of(run.remote, generation, run.number),
        task=task.spec.name,
        started_at=run.started_at,
        finished_at=now,
        outcome=outcome.value,
        seconds=seconds,
        seconds_max=seconds,
        attempt=run.attempt,
        error_type=failure.error_type if failed and failure else None,
        error_text=failure.error_text if failed and failure else None,
        traceback=failure.traceback if failed and failure else None,
    )
    return (*earlier, ended)
