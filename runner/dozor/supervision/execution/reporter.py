"""Carries a run's reports (heartbeat, progress, backlog, alerts) to the supervisor, also from threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from dozor.clean_context import CleanContext
from dozor.config.values.incident_kinds import Severity
from dozor.process import forking
from dozor.supervision.runs.reports import OF_ANOTHER_PROCESS
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
    """`dozor.supervision.runs.context.Reports` for one run. Reports of an ended run are ignored.

    A thread may report faster than the loop runs: of each kind the last report that waits counts.

    Raises RuntimeError in a forked child, from which nothing reaches the supervisor.
    """

    __slots__ = ("_forks", "_listener", "_lock", "_loop", "_run", "_task", "_thread", "_waiting")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: ReportListener, task: SupervisedTask, run: Run
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._task = task
        self._run = run
        self._thread = threading.get_ident()
        self._forks = forking.generation
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], None]] = {}

    def heartbeat(self) -> None:
        self._on_loop(lambda: self._listener.on_heartbeat(self._task, self._run), "heartbeat")

    def progress(self, done: float, total: float) -> None:
        def note() -> None:
            if self._task.run is self._run:
                self._task.progress = (float(done), float(total))
                self._listener.mark_dirty(self._task)

        self._on_loop(note, "progress")

    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None:
        if oldest_at is not None and oldest_at.tzinfo is None:
            raise ValueError("backlog(): oldest_at must be an aware datetime (with a timezone)")

        def note() -> None:
            self._task.backlog = (int(size), oldest_at)
            self._task.backlog_limit = None if limit is None else float(limit)
            self._listener.mark_dirty(self._task)

        self._on_loop(note, "backlog")

    def alert(self, text: str, severity: str) -> None:
        checked_severity(severity)
        self._on_loop(lambda: self._listener.checker_alert(self._task, str(text), severity))

    def _on_loop(self, act: Callable[[], None], kind: str | None = None) -> None:
        """`kind`: a later report of the same kind may take the place of this one while it waits."""
        if forking.generation != self._forks:
            raise RuntimeError(OF_ANOTHER_PROCESS)
        contexts = self._listener.contexts
        if threading.get_ident() == self._thread:
            contexts.run(act)
        elif kind is None:
            self._loop.call_soon_threadsafe(act, context=contexts.timers)
        else:
            with self._lock:
                scheduled = bool(self._waiting)
                self._waiting[kind] = act
            if not scheduled:
                self._loop.call_soon_threadsafe(self._report, context=contexts.timers)

    def _report(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for act in waiting.values():
            act()


def checked_severity(severity: str) -> str:
    """`severity`, if it is one. Raises ValueError otherwise."""
    if severity not in SEVERITIES:
        raise ValueError(f"alert(): severity must be one of {', '.join(SEVERITIES)}, not {severity!r}")
    return severity
