"""Events of a task, and the effects that the state machine returns."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.supervision.core.state import Failure


@dataclass(frozen=True, slots=True)
class Due:
    """`next_at` has come."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The run returned."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run raised. `luck` in [0, 1) decides the jitter of the delay."""

    failure: Failure
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run ended because we asked it to."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run failed because a dependency was down: not the checker's fault."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The run reports that it is healthy."""


@dataclass(frozen=True, slots=True)
class DependencyDown:
    """Something the task requires has gone."""


@dataclass(frozen=True, slots=True)
class DependencyUp:
    """`spread` (seconds) keeps the released tasks apart."""

    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Restart:
    by: str


@dataclass(frozen=True, slots=True)
class Pause:
    by: str


@dataclass(frozen=True, slots=True)
class Resume:
    by: str


@dataclass(frozen=True, slots=True)
class RunNow:
    by: str


PersonEvent = Restart | Pause | Resume | RunNow
RunEvent = Succeeded | Failed | Cancelled | Interrupted
Event = Due | RunEvent | Heartbeat | DependencyDown | DependencyUp | PersonEvent


@dataclass(frozen=True, slots=True)
class StartRun:
    pass


@dataclass(frozen=True, slots=True)
class AskToStop:
    """Set `ctx.stopping`; the run may finish what it is doing."""


@dataclass(frozen=True, slots=True)
class StopRun:
    """Set `ctx.stopping`, and cancel the run when its grace period is over."""


@dataclass(frozen=True, slots=True)
class TimeOut:
    """Cancel the run: it took longer than its `timeout`."""


Effect = StartRun | AskToStop | StopRun | TimeOut

START_RUN = (StartRun(),)
ASK_TO_STOP = (AskToStop(),)
STOP_RUN = (StopRun(),)
TIME_OUT = (TimeOut(),)
NOTHING: tuple[Effect, ...] = ()
