"""Exceptions that reach the event loop itself: attributed to a run, else reported as an incident."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from dozor.exceptions import bounded, line_of, release, tamed
from dozor.language import msg
from dozor.supervision.runs.ownership import scope_of_escape

Report = Callable[[str], None]


class Escapes:
    """Called with each exception that `dozor.process.lifecycle.run_to_end` has caught."""

    def __init__(self) -> None:
        self.report: Report | None = None
        """Raises an alert, once there is a runner."""

    def __call__(self, error: BaseException) -> bool:
        """Whether it is attributed to a run."""
        scope, step = scope_of_escape(error)
        if scope is not None:
            # A task keeps its error, for what awaits it or as one that was never retrieved.
            if not step:
                scope.note(error)
            return True
        error = tamed(error)
        text = msg("log-loop-escape", error=line_of(error))
        logger.opt(exception=bounded(error)).critical("{}", text)
        release(error)
        if self.report is not None:
            self.report(text)
        return False
