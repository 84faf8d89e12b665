"""After a quick unclean end: records which tasks are in a run, and starts suspects one at a time."""

from __future__ import annotations

from dozor.config.sections.tasks import Isolation
from dozor.storage.tables.runners import RunsInFlight
from dozor.supervision.core.crash_loop import QUICK_SECONDS, CrashVerdict
from dozor.supervision.start_gate import StartGate
from dozor.supervision.tasks.task import SupervisedTask

PROVEN_RUNS = 2
"""A task that has finished so many runs of this runner starts without waiting for a record of it."""
LONG_RUN = 1.0
"""Seconds after which a run of such a task is recorded all the same. Without these two limits, frequent tasks
would be in a run by chance whenever somebody kills the runner from outside."""
LOOK_AGAIN = 0.5
"""Seconds after which a suspect that waits for its turn is looked at again."""


class CrashWatch:
    """The rules are in `core.crash_loop`. `begin` starts its clock; times are seconds since the epoch.

    A turn ends with the run, or after `verdict.hold` seconds: a run of that age has outlived those in which
    the runner ended.
    """

    def __init__(self, verdict: CrashVerdict, starts: StartGate) -> None:
        self._starts = starts
        self._hold = verdict.hold
        self._suspects = dict.fromkeys(verdict.suspects)
        self._in_flight: dict[str, float] = {}
        # With the time from which each is recorded.
        self._finished: dict[str, int] = {}
        self._recorded: RunsInFlight | None = None
        self._turn: str | None = None
        self._turn_over = 0.0
        self._opens_at = self._closes_at = self._records_until = 0.0

    def begin(self, now: float) -> None:
        self._records_until = now + QUICK_SECONDS
        self._opens_at = now + self._hold if self._suspects else now
        # Not for ever: a suspect may have no run for a long time.
        self._closes_at = self._opens_at + self._hold * (len(self._suspects) + 1)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Not cleared yet."""
        return tuple(self._suspects)

    def over(self, now: float) -> bool:
        """Nothing is left to do."""
        self._end_turn(now)
        return not self._suspects and now >= self._records_until

    def look_again_at(self, task: SupervisedTask, now: float) -> float | None:
        """None: the task may start now. Else when to check again."""
        self._end_turn(now)
        name = task.spec.name
        if name not in self._suspects or name == self._turn:
            return None
        if now < self._opens_at:
            return self._opens_at
        if self._turn is not None:
            return now + LOOK_AGAIN
        self._turn, self._turn_over = name, now + self._hold
        self._suspects = {name: None} | self._suspects  # it is the first in what is recorded
        return None

    def about_to_start(self, task: SupervisedTask, now: float) -> None:
        """Its run is recorded, and starts when that is committed, unless it has proven itself."""
        name = task.spec.name
        if name in self._in_flight or not _can_end_the_runner(task):
            return
        self.started(task, now)
        if name in self._suspects or self._finished.get(name, 0) < PROVEN_RUNS:
            self._in_flight[name] = now
            self._starts.request_write(task)

    def started(self, task: SupervisedTask, now: float) -> None:
        """A run of it starts."""
        if _can_end_the_runner(task):
            self._in_flight.setdefault(task.spec.name, now + LONG_RUN)

    def ended(self, task: SupervisedTask) -> None:
        """The run returned, raised or was cancelled: it has not ended the runner."""
        name = task.spec.name
        if name not in self._in_flight:
            return
        del self._in_flight[name]
        finished = self._finished[name] = self._finished.get(name, 0) + 1
        if name == self._turn:
            self.clear(name)
        elif finished > PROVEN_RUNS:
            return  # the next checkpoint is soon enough
        self._starts.request_write_soon()

    def clear(self, name: str) -> None:
        """It is no suspect any more: its turn is over, or a person has started it."""
        self._suspects.pop(name, None)
        if name == self._turn:
            self._turn = None

    def take(self, now: float) -> RunsInFlight | None:
        """What is to be recorded; None: nothing has changed since the last call."""
        tasks = tuple(name for name, since in self._in_flight.items() if since <= now)
        runs = RunsInFlight(tasks, tuple(self._suspects))
        if runs == self._recorded:
            return None
        self._recorded = runs
        return runs

    def _end_turn(self, now: float) -> None:
        if self._turn is not None and now >= self._turn_over:
            self.clear(self._turn)
        if self._suspects and now >= self._closes_at:
            for name in self.suspects:
                self.clear(name)


def _can_end_the_runner(task: SupervisedTask) -> bool:
    """Its runs are in this process: neither in a process of their own nor on a worker."""
    return task.spec.isolation is not Isolation.PROCESS and task.spec.pool is None
