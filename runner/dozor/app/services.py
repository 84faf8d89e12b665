"""The runner's long-lived services, supervised as checkers are: restarted, and never stopped for failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

from loguru import logger

from dozor.clock import SteadyClock
from dozor.language import msg
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
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.monitoring.task_monitor import change_clock
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.tracebacks import error_line

POLICY = Policy(
    restart_delay=RestartDelay(initial=1.0, factor=2.0, max=30.0, jitter=0.2),
    max_consecutive_failures=None,
    stable_after=60.0,
)


class Services:
    """Starts, restarts and stops the parts; `failing` lists those that do not work, and why."""

    def __init__(
        self,
        parts: dict[str, Callable[[], Awaitable[None]]],
        clock: SteadyClock,
        redact: Callable[[str], str],
    ) -> None:
        self.failing: dict[str, str] = {}
        """Why a part does not run at present, by its name."""
        self._supervisor = Supervisor(
            [TaskSpec(name=name, function=run, policy=POLICY) for name, run in parts.items()],
            observer=self,
            clock=clock,
            log=_QuietLog(),
            redact=redact,
            grace=0.0,
            scoped=False,
        )
        clock.subscribe(lambda change: change_clock(self._supervisor, change, clock.now()))

    def start(self) -> None:
        self._supervisor.start()

    async def stop(self) -> None:
        await self._supervisor.stop()

    # -- Observer

    def transition(self, transition: Transition) -> None:
        name, after = transition.task.spec.name, transition.after
        match transition.event:
            case Failed(failure):
                self.failing[name] = error_line(failure.error_type, failure.error_text)
                delay = 0.0 if after.next_at is None else after.next_at - transition.now
                logger.error(
                    msg("log-service-failed", name=name, error=failure.error_text, seconds=f"{delay:.0f}")
                )
            case Succeeded() | Cancelled() | Interrupted() | Heartbeat():
                self.failing.pop(name, None)
            case Due() | DependencyDown() | DependencyUp() | Pause() | Resume() | Restart() | RunNow():
                if after.failures == 0:
                    self.failing.pop(name, None)
            case _:
                assert_never(transition.event)

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        """A part that returned is started again."""

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        """Parts have no context."""


class _QuietLog(SupervisionLog):
    """Parts log by themselves; their failures are logged by `Services`."""

    __slots__ = ()

    def starting(self, name: str) -> None:
        logger.debug(msg("log-service-started", name=name))

    def failed(self, name: str, failures: int, limit: int | None, error: BaseException) -> None:
        logger.opt(exception=error).debug(msg("log-service-error", name=name))

    def restarting(self, name: str, delay: float) -> None:
        """Added to the log line of the failure."""

    def cancelled(self, name: str) -> None:
        logger.debug(msg("log-service-stopped", name=name))
