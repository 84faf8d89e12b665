"""Reports what a run leaves behind: asyncio tasks, threads and processes that go on, and errors in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from loguru import logger

from dozor.exceptions import bounded, line_of, place_of
from dozor.language import msg
from dozor.supervision.runs.ownership import Scope, threads_of
from dozor.supervision.runs.subprocesses import subprocesses_of

LOOK_AFTER = 1.0
"""Seconds after a run: what ends by then, as connections that are being closed, is not reported."""
MOST_NAMED = 5


class LeftBehind:
    """Of all tasks. Nothing is ever cancelled: client libraries keep background tasks.

    `tell` sends an alert with a text about the task of that name; it is called on `loop`, in `context`.
    """

    __slots__ = ("_context", "_loop", "_tell", "_told")

    def __init__(
        self, tell: Callable[[str, str], None], loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        self._tell = tell
        self._loop = loop
        self._context = context
        self._told: set[str] = set()
        """Names of the tasks of which it was reported: once for each."""

    def look(self, scope: Scope) -> None:
        """The run of `scope` has ended."""
        if scope.name in self._told:
            return
        if scope.processes or any(not task.done() for task in scope.tasks or ()) or threads_of(scope):
            self._loop.call_later(LOOK_AFTER, self._report, scope, context=self._context)

    def failed_apart(self, name: str, error: BaseException) -> None:
        """In any thread."""
        place = place_of(error)
        what = line_of(error) + (f" ({place})" if place else "")
        text = msg("log-leftover-failed", error=what)
        logger.bind(task=name).opt(exception=bounded(error)).error("{}", text)
        try:
            self._loop.call_soon_threadsafe(self._tell, name, text, context=self._context)
        except RuntimeError:
            return  # the loop has closed

    def _report(self, scope: Scope) -> None:
        tasks = [task for task in scope.tasks or () if not task.done()]
        threads = threads_of(scope)
        processes = subprocesses_of(scope)
        if scope.name in self._told or not (tasks or threads or processes):
            return
        self._told.add(scope.name)
        names = sorted(
            {_name(task) for task in tasks}
            | {thread.name for thread in threads}
            | {f"{process.name} (pid {process.pid})" for process in processes}
        )
        text = msg(
            "log-left-behind",
            tasks=len(tasks),
            threads=len(threads),
            processes=len(processes),
            names=", ".join(names[:MOST_NAMED]),
        )
        logger.bind(task=scope.name).warning("{}", text)
        self._tell(scope.name, text)


def _name(task: asyncio.Task[object]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task.get_name()))[-60:]
