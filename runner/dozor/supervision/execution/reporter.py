"""Carries a run's own words to the supervisor, from the loop or from a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from dozor import forking
from dozor.clean_context import CleanContext
from dozor.config.incident_kinds import Severity
from dozor.supervision.execution.process.ipc import OF_ANOTHER_PROCESS
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.task import SupervisedTask

SEVERITIES = tuple(severity.value for severity in Severity)


class ReportListener(Protocol):
    """Takes what a run reports; the supervisor is one."""

    contexts: CleanContext

    def on_heartbeat(self, task: SupervisedTask, run: Run) -> None: ...

    def mark_dirty(self, task: SupervisedTask) -> None: ...

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None: ...


class RunReporter:
    """`dozor.supervision.runs.context.Reports` for one run. What an ended run says is not heard.


    Raises RuntimeError in a forked child, from which nothing reaches the supervisor.
    """

    __slots__ = ("_forks", "_listener", "_loop", "_run", "_task", "_thread")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: ReportListener, task: SupervisedTask, run: Run
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._task = task
        self._run = run
        self._thread = threading.get_ident()
        self._forks = forking.generation

    def heartbeat(self) -> None:
        self._on_loop(lambda: self._listener.on_heartbeat(self._task, self._run))

    def progress(self, done: float, total: float) -> None:
        def note() -> None:
            if self._task.run is self._run:
                self._task.progress = (float(done), float(total))
                self._listener.mark_dirty(self._task)

        self._on_loop(note)

    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None:
        if oldest_at is not None and oldest_at.tzinfo is None:
            raise ValueError("backlog(): oldest_at must be an aware datetime (with a timezone)")

        def note() -> None:
            self._task.backlog = (int(size), oldest_at)
            self._task.backlog_limit = None if limit is None else float(limit)
            self._listener.mark_dirty(self._task)

        self._on_loop(note)

    def alert(self, text: str, severity: str) -> None:
        checked_severity(severity)
        self._on_loop(lambda: self._listener.checker_alert(self._task, str(text), severity))

    def _on_loop(self, act: Callable[[], None]) -> None:
        if forking.generation != self._forks:
            raise RuntimeError(OF_ANOTHER_PROCESS)
        contexts = self._listener.contexts
        if threading.get_ident() == self._thread:
            contexts.run(act)
        else:
            self._loop.call_soon_threadsafe(act, context=contexts.timers)


def checked_severity(severity: str) -> str:
    """`severity`, if it is one. Raises ValueError otherwise."""
    if severity not in SEVERITIES:
        raise ValueError(f"alert(): severity must be one of {', '.join(SEVERITIES)}, not {severity!r}")
    return severity
