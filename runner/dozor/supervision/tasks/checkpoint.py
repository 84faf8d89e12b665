"""The checkpoint: states changed by successful runs are written at intervals, not run by run."""

from __future__ import annotations

from collections.abc import Iterable

from dozor.storage.journal import Checkpoint
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import CheckpointRow, TaskRow
from dozor.supervision.tasks.task import BATCH_SECONDS, SuccessBatch, SupervisedTask

CHECKPOINT_ROWS = 1_000
"""Tasks in one checkpoint: taking more at once would make runs late."""


def collect(
    tasks: Iterable[SupervisedTask], generation: int, now: float, *, last: bool, more: bool
) -> Checkpoint:
    """The states of `tasks`, and the stretches of successes that are over (`last`: all of them)."""
    hot: list[CheckpointRow] = []
    full: list[TaskRow] = []
    history: list[RunRow] = []
    for task in tasks:
        if task.progress is None and task.backlog is None and task.state.failure_record is task.written_past:
            hot.append(task.hot_row())
        else:
            task.written_past = task.state.failure_record
            full.append(task.row())
        if task.stretch is not None and (last or _is_over(task, task.stretch, now)):
            row = task.take_stretch(generation)
            assert row is not None
            history.append(row)
    return Checkpoint(hot, full, history, more=more)


def _is_over(task: SupervisedTask, stretch: SuccessBatch, now: float) -> bool:
    if stretch.urgent or now - stretch.began_at >= BATCH_SECONDS:
        return True
    if task.run is not None:
        return False
    next_at = task.state.next_at
    return next_at is None or next_at - stretch.began_at >= BATCH_SECONDS
