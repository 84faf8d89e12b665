"""An asyncio loop whose time jumps to the next timer: a year takes as long as its events."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

GRAIN = 1e-6
"""Seconds."""


class _NoInput(selectors.SelectSelector):
    """Nothing ever comes from outside; waiting is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        if timeout > 0:
            self.now += max(timeout, GRAIN)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._skipping = _NoInput()
        super().__init__(self._skipping)
        # Late in the year a float has no finer steps: without this a timer may never quite come.
        self._clock_resolution = GRAIN

    def time(self) -> float:
        return self._skipping.now


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work` on a virtual loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        for _ in range(10):  # the deaf swallow a few
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
