"""Metrics of runs: on the hot path, a few additions into flat arrays, about 120 bytes a task."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import assert_never

from dozor.supervision.core.events import (
    Cancelled,
    DependencyDown,
    DependencyUp,
    Due,
    Failed,
    Heartbeat,
    Interrupted,
    Pause,
    Restart,
    Resume,
    RunNow,
    Succeeded,
)
from dozor.supervision.core.state import RunOutcome, State
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Transition

RUN_BOUNDS = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0)
LATENESS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
RECOVERY_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds in seconds of what fits into a bucket; one more bucket takes the rest."""

_WIDTH = len(RUN_BOUNDS) + 1


class Histogram:
    """Counts by bucket, and the sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[int]:
        """How many were at most each bound; the last one is all of them."""
        return list(accumulate(self.counts))


class RunMetrics:
    """Of the runs since the process began; by `Supervised.index`. `tasks`: how many there are at first."""

    def __init__(self, tasks: int) -> None:
        self._buckets = array("Q", bytes(8 * tasks * _WIDTH))
        self._seconds = array("d", bytes(8 * tasks))
        self._failed = array("Q", bytes(8 * tasks))
        self._timed_out = array("Q", bytes(8 * tasks))
        self._cancelled = array("Q", bytes(8 * tasks))
        self._stops = array("Q", bytes(8 * tasks))
        self.recoveries: dict[int, Histogram] = {}
        """Seconds from first failure to next success, of the tasks that ever failed."""
        self.lateness = Histogram(LATENESS_BOUNDS)
        """Seconds from when a run was due to when it began."""

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        """A healthy run has ended."""
        index = task.index
        try:
            self._buckets[index * _WIDTH + bisect_left(RUN_BOUNDS, seconds)] += 1
        except IndexError:
            self._grow(index + 1)
            self._buckets[index * _WIDTH + bisect_left(RUN_BOUNDS, seconds)] += 1
        self._seconds[index] += seconds
        late = self.lateness
        late.counts[bisect_left(LATENESS_BOUNDS, lateness)] += 1
        late.sum += lateness

    def transition(self, transition: Transition) -> None:
        """Whatever else has happened."""
        before, after, index = transition.before, transition.after, transition.task.index
        self._grow(index + 1)
        match transition.event:
            case Failed(failure):
                self._ended(transition, self._timed_out if failure.timed_out else self._failed)
                # Empty before its first recovery: a series that begins above zero has no increase.
                self.recoveries.setdefault(index, Histogram(RECOVERY_BOUNDS))
                if after.state is State.STOPPED and before.state is not State.STOPPED:
                    self._stops[index] += 1
            case Cancelled() | Interrupted():
                self._ended(transition, self._cancelled)
            case (
                Due()
                | Succeeded()
                | Heartbeat()
                | DependencyDown()
                | DependencyUp()
                | Pause()
                | Restart()
                | Resume()
                | RunNow()
            ):
                pass
            case _:
                assert_never(transition.event)
        if before.failure_record.failing_since is not None and after.failure_record.failing_since is None:
            recovery = self.recoveries.setdefault(index, Histogram(RECOVERY_BOUNDS))
            recovery.observe(max(0.0, transition.now - before.failure_record.failing_since))

    def _grow(self, tasks: int) -> None:
        """Make space for tasks that were added after the start."""
        more = tasks - len(self._seconds)
        if more <= 0:
            return
        self._buckets.extend([0] * (more * _WIDTH))
        self._seconds.extend([0.0] * more)
        for counts in (self._failed, self._timed_out, self._cancelled, self._stops):
            counts.extend([0] * more)

    def runs(self, index: int) -> dict[RunOutcome, int]:
        """How many runs of a task ended in which way."""
        self._grow(index + 1)
        failed, timed_out, cancelled = self._failed[index], self._timed_out[index], self._cancelled[index]
        return {
            RunOutcome.SUCCEEDED: sum(self._of(index)) - failed - timed_out - cancelled,
            RunOutcome.FAILED: failed,
            RunOutcome.TIMED_OUT: timed_out,
            RunOutcome.CANCELLED: cancelled,
        }

    def run_seconds(self, index: int) -> tuple[list[int], float]:
        """How many runs of a task took at most each of RUN_BOUNDS, the last one all; the sum of seconds."""
        self._grow(index + 1)
        return list(accumulate(self._of(index))), self._seconds[index]

    def critical_stops(self, index: int) -> int:
        """Critical stops of a task."""
        self._grow(index + 1)
        return self._stops[index]

    def _of(self, index: int) -> array[int]:
        return self._buckets[index * _WIDTH : (index + 1) * _WIDTH]

    def _ended(self, transition: Transition, outcome: array[int]) -> None:
        run, index = transition.run, transition.task.index
        if run is None:
            return
        seconds = max(0.0, transition.now - run.started_at)
        outcome[index] += 1
        self._buckets[index * _WIDTH + bisect_left(RUN_BOUNDS, seconds)] += 1
        self._seconds[index] += seconds
        if transition.before.due_at is not None:
            self.lateness.observe(max(0.0, run.started_at - transition.before.due_at))
