"""The start gate: an attempt waits until the failure before it has been committed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from dozor.clean_context import CleanContext
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.tasks.task import SupervisedTask

WAIT_SECONDS = 5.0
"""How long a start waits for a commit at most: a database that answers slowly must not stop supervision."""
TURN = 0.002
"""Seconds for which starts that a commit has freed may keep the loop. What they start runs in the same turn
of the loop, which takes several times as long, and healthy tasks are late by it."""


class CommitLog(Protocol):
    """What is written, in order, by position. `storage.journal.Journal` is one."""

    @property
    def appended(self) -> int: ...
    @property
    def committed(self) -> int: ...
    def request_write(self) -> int: ...
    def subscribe_commits(self, committed: Callable[[int], None]) -> None: ...


def due_instead(before: TaskState, started: TaskState, now: float) -> TaskState:
    """`started` (from `before`) as the state of a task that is due at once and has not started."""
    return started._replace(
        state=State.WAITING if started.state is State.RUNNING else started.state,
        next_at=now,
        due_at=now,
        running_since=None,
        runs_total=started.runs_total - 1,
        started_at=before.started_at,
    )


class StartGate:
    """Keeps a task from starting until the position in `task.awaited_commit` is committed.

    The start waits for the first of: committed, `open` (the database is known to be away), 5 s. Nothing waits
    when the runner stops: no run starts then. `begin` is called for each task that has waited long enough.
    Without `commits` (supervision without a database) nothing waits.
    """

    def __init__(
        self, commits: CommitLog | None, begin: Callable[[SupervisedTask], None], contexts: CleanContext
    ) -> None:
        self._commits = commits
        self._begin = begin
        self._contexts = contexts
        self._waiting: dict[SupervisedTask, float] = {}
        # With the loop's time at which it starts all the same; the earliest first.
        self._ready: deque[SupervisedTask] = deque()
        """They may start, and wait for their turn of the loop."""
        self._soon: asyncio.Handle | None = None
        """Of the next turn, if there is to be one."""
        self._timer: asyncio.TimerHandle | None = None
        self._open = commits is None
        if commits is not None:
            commits.subscribe_commits(self._committed)

    def failure_appended(self, task: SupervisedTask) -> None:
        """A failure of `task` has just been appended: its next start waits for that commit."""
        if self._commits is not None:
            task.awaited_commit = self._commits.appended

    def request_write(self, task: SupervisedTask) -> None:
        """What is to be recorded of `task` is taken with the next write: its start waits for that commit."""
        if self._commits is not None:
            task.awaited_commit = self._commits.request_write()

    def request_write_soon(self) -> None:
        """As `request_write`, and no task waits for it."""
        if self._commits is not None:
            self._commits.request_write()

    def admits(self, task: SupervisedTask) -> bool:
        """Whether `task` may start now; otherwise `begin` is called when it may."""
        if task in self._waiting:
            return False
        if self._is_free(task):
            task.awaited_commit = None
            return True
        loop = asyncio.get_running_loop()
        self._waiting[task] = loop.time() + WAIT_SECONDS
        if self._timer is None:
            self._arm(loop)
        return False

    def must_wait(self, task: SupervisedTask, *, first: bool) -> bool:
        """Whether a start of `task` at this moment has to wait. `first`: something is yet to be appended."""
        if self._open or task.state.state is State.PAUSED:
            return False  # a paused task is never due: what a person starts there starts at once
        return first or not self._is_free(task)

    def open(self) -> None:
        """The database is known to be away: start what waits, and let nothing wait from now on."""
        self._open = True
        self._release(list(self._waiting))

    def close(self) -> None:
        """The database is back: starts wait for their commits again."""
        self._open = self._commits is None

    def stop(self) -> None:
        """Forget what waits: nothing is started any more."""
        self._waiting.clear()
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_free(self, task: SupervisedTask) -> bool:
        position = task.awaited_commit
        if position is None or self._open:
            return True
        assert self._commits is not None
        return position <= self._commits.committed

    def _committed(self, position: int) -> None:
        if self._waiting:
            ready = [task for task in self._waiting if (task.awaited_commit or 0) <= position]
            self._contexts.run(self._release, ready)

    def _release(self, tasks: list[SupervisedTask]) -> None:
        for task in tasks:
            del self._waiting[task]
            task.awaited_commit = None
        self._ready.extend(tasks)
        if self._soon is None:
            self._begin_some(asyncio.get_running_loop())

    def _begin_some(self, loop: asyncio.AbstractEventLoop) -> None:
        """Those that are ready, for `TURN` at most: after an unclean end one commit frees every task."""
        self._soon = None
        until = loop.time() + TURN
        while self._ready:
            self._begin(self._ready.popleft())
            if self._ready and loop.time() > until:
                self._soon = loop.call_soon(self._begin_some, loop, context=self._contexts.timers)
                return

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        earliest = next(iter(self._waiting.values()))
        self._timer = loop.call_at(earliest, self._waited_enough, loop, context=self._contexts.timers)

    def _waited_enough(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        self._release([task for task, until in self._waiting.items() if until <= now])
        if self._waiting and self._timer is None:
            self._arm(loop)
