"""The state of a task at one moment. Frozen: a change is a new value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The states of a task, as people and the database see them."""

    WAITING = "waiting"
    """For its next run."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """Failed, waiting to restart."""
    STOPPED = "stopped"
    """Critical stop: only a person, or a slow retry by policy, brings it back."""
    PAUSED = "paused"
    """By a person."""
    HELD = "held"
    """Something it requires is down."""


class RunOutcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    """By us (shutdown, pause, restart), or because a dependency was down: neither success nor failure."""
    LOST = "lost"
    """The runner's process ended under it."""


class StopCause(StrEnum):
    """Why a task was stopped."""

    CONSECUTIVE = "consecutive"
    """So many failures in a row."""
    INTENSITY = "intensity"
    """So many failures within a time, in a row or not."""
    FATAL = "fatal"
    """An error that a further attempt cannot resolve."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, as text: no exception object outlives its run.

    `error_text` and `traceback` are redacted. `where` is the deepest frame of the user's own code.
    """

    error_type: str
    error_text: str
    where: str
    traceback: str
    timed_out: bool = False
    fatal: bool = False
    """A further attempt cannot resolve it: stop at once."""


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """The part of a task's state that healthy runs never touch."""

    failures_total: int = 0
    failing_since: float | None = None
    """First failure since the last success; a restart by a person does not forget it."""
    failed_at: float | None = None
    failure: Failure | None = None
    """The last one, kept after recovery for people to read."""
    last_actor: str | None = None
    """Who acted on the task last."""
    recent: tuple[float, ...] = ()
    """When it failed lately; kept only where a policy limits failures within a time."""
    stopped_by: StopCause | None = None
    """Of the last critical stop."""


NO_FAILURES = FailureRecord()


class TaskState(NamedTuple):
    """Times are seconds since the epoch (UTC); None: not yet, or not at all.

    A named tuple and not a dataclass: two are made for every run, and a frozen dataclass of this size costs
    four times as much to make (`benchmarks/`, first row).
    """

    state: State = State.WAITING
    next_at: float | None = None
    """When the machine must look at this task again: its next run, or a deadline of the present one."""
    due_at: float | None = None
    """The scheduled time of the present or next run: the base of a fixed rate."""
    running_since: float | None = None
    """A run is in progress (in `paused` and `stopped` too, while it finishes or probes)."""
    restart_pending: bool = False
    """Start again as soon as the present run has ended: a restart was requested meanwhile."""
    failures: int = 0
    """Failure streak."""
    runs_total: int = 0
    started_at: float | None = None
    succeeded_at: float | None = None
    duration: float | None = None
    """Seconds, of the last finished run."""
    failure_record: FailureRecord = NO_FAILURES
