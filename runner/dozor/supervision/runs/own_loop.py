"""The event loop of a process that is all Dozor's: a run cannot stop it or change how it works for others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any

from loguru import logger

from dozor.language import msg
from dozor.supervision.runs.ownership import task_here

_monotonic = time.monotonic
"""The original: a checker may replace `time.monotonic`, by which asyncio judges when timers are due."""


class OwnLoop(asyncio.SelectorEventLoop):
    """Calls by a run that would affect other runs or the runner have no effect, and are logged.

    These are `stop`, `set_task_factory`, `set_exception_handler`, `set_debug`, `set_default_executor`,
    `shutdown_default_executor` and `shutdown_asyncgens`. Loops that a checker makes in a thread of its own
    are of asyncio's class.
    """

    def __init__(self) -> None:
        super().__init__()
        self._refused: set[tuple[str, str]] = set()
        """Task and method: each is logged once."""

    def time(self) -> float:
        return _monotonic()

    def stop(self) -> None:
        if not self._refuses("stop"):
            super().stop()

    def set_task_factory(self, factory: Any) -> None:
        if not self._refuses("set_task_factory"):
            super().set_task_factory(factory)

    def set_exception_handler(self, handler: Any) -> None:
        if not self._refuses("set_exception_handler"):
            super().set_exception_handler(handler)

    def set_debug(self, enabled: bool) -> None:
        if not self._refuses("set_debug"):
            super().set_debug(enabled)

    def set_default_executor(self, executor: Executor) -> None:
        if not self._refuses("set_default_executor"):
            super().set_default_executor(executor)  # type: ignore[arg-type]  # any executor of ours

    def shutdown_default_executor(self, *args: Any, **options: Any) -> Coroutine[Any, Any, None]:
        if self._refuses("shutdown_default_executor"):
            return _nothing()
        return super().shutdown_default_executor(*args, **options)

    def shutdown_asyncgens(self) -> Coroutine[Any, Any, None]:
        if self._refuses("shutdown_asyncgens"):
            return _nothing()
        return super().shutdown_asyncgens()

    def _refuses(self, method: str) -> bool:
        """Whether a run calls this, in its task, a callback or a thread; then it is logged."""
        task = task_here()
        if task is None:
            return False
        if (task, method) not in self._refused:
            self._refused.add((task, method))
            logger.bind(task=task).warning("{}", msg("log-loop-kept", name=task, method=method))
        return True


async def _nothing() -> None:
    """In place of what a run must not do."""
