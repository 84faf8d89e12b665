"""The child processes of all tasks with `isolation: process`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from dozor.config.sections.tasks import Isolation
from dozor.supervision.core.state import State
from dozor.supervision.execution.process.client import STARTS_AT_ONCE, Launch, ProcessClient
from dozor.supervision.runs.context import Reporter
from dozor.supervision.runs.run import Run
from dozor.supervision.tasks.task import CheckerProcess, SupervisedTask


class ProcessPool:
    """Made, and let go, in the background."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._leaving: set[asyncio.Task[None]] = set()

    def withhold(self, names: frozenset[str]) -> None:
        """Keep these variables from processes that start from now on, besides those named before."""
        self._launch = replace(self._launch, withheld=self._launch.withheld | names)

    def give(self, task: SupervisedTask, words: Callable[[Run], Reporter]) -> None:
        """A process for `task`, if it is to have one, in place of the one it has."""
        self.take(task)
        if task.spec.isolation is Isolation.PROCESS and task.spec.pool is None:
            task.child = ProcessClient(task.spec, self._launch, words, self._starting)

    def take(self, task: SupervisedTask) -> None:
        """Let its process go, when its run is over."""
        child, task.child = task.child, None
        if child is None:
            return
        run = task.run
        if run is not None and run.task is not None:
            run.task.add_done_callback(lambda _: self._close_process(child))
        else:
            self._close_process(child)

    def warm(self, task: SupervisedTask) -> None:
        """Have its process ready, if it is going to run."""
        if task.child is not None and task.state.state not in (State.STOPPED, State.PAUSED):
            task.child.warm()

    async def close(self, tasks: Iterable[SupervisedTask]) -> None:
        """All of them, at the end."""
        for task in tasks:
            if task.child is not None:
                self._close_process(task.child)
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    def _close_process(self, child: CheckerProcess) -> None:
        leaving = asyncio.get_running_loop().create_task(child.close())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
