"""After a quick unclean end: records which tasks are in a run, and starts suspects one at a time."""

from __future__ import annotations

from dozor.config.tasks import Isolation
from dozor.storage.tables.runners import RunsInFlight
from dozor.supervision.core.crash_loop import QUICK_SECONDS, CrashVerdict
from dozor.supervision.start_gate import StartGate
from dozor.supervision.tasks.task import SupervisedTask

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
        self._in_flight: dict[str, None] = {}
        self._changed = True
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
        """None: the task may start now. Else when to ask again."""
        self._end_turn(now)
        name = task.spec.name
        if name not in self._suspects or name == self._turn:
            return None
        if now < self._opens_at:
            return self._opens_at
        if self._turn is not None:
            return now + LOOK_AGAIN
        self._turn, self._turn_over = name, now + self._hold
        self._suspects = {name: None} | self._suspects  # it stands first in what is recorded
        self._changed = True
        return None

    def about_to_start(self, task: SupervisedTask) -> None:
        """Its run is recorded, and starts when that is committed."""
        if self.started(task):
            self._starts.request_write(task)

    def started(self, task: SupervisedTask) -> bool:
        """A run of it starts; whether that was not recorded yet."""
        if task.spec.isolation is Isolation.PROCESS or task.spec.name in self._in_flight:
            return False  # in a process of its own it cannot end this one
        self._in_flight[task.spec.name] = None
        self._changed = True
        return True

    def ended(self, task: SupervisedTask) -> None:
        """The run returned, raised or was cancelled: it has not ended the runner."""
        name = task.spec.name
        if name not in self._in_flight:
            return
        del self._in_flight[name]
        self._changed = True
        if name == self._turn:
            self.clear(name)
        self._starts.request_write_soon()

    def clear(self, name: str) -> None:
        """It is no suspect any more: its turn is over, or a person has started it."""
        if self._suspects.pop(name, "") is None:
            self._changed = True
        if name == self._turn:
            self._turn = None

    def take(self) -> RunsInFlight | None:
        """What is to be recorded; None: nothing has changed since the last call."""
        if not self._changed:
            return None
        self._changed = False
        return RunsInFlight(tuple(self._in_flight), tuple(self._suspects))

    def _end_turn(self, now: float) -> None:
        if self._turn is not None and now >= self._turn_over:
            self.clear(self._turn)
        if self._suspects and now >= self._closes_at:
            for name in self.suspects:
                self.clear(name)
