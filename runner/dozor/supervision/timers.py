"""The timer heap: one heap of short spans of time, and one loop timer, for all tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from typing import Final

from dozor.clock import SteadyClock

SLACK = 0.002
"""Seconds: what is due within it is started in one go, so that 10,000 tasks don't cost 10,000 wake-ups."""
TURN = 0.004
"""Seconds for which a backlog of due plans may keep the loop: the lease must be renewed meanwhile, and what
is due now must not wait for all of it."""
_LOOK_EVERY: Final = 64
"""Plans between looks at the clock for `TURN`."""
_SPANS_A_SECOND: Final = 500
"""Plans are kept by spans of the length of `SLACK`: the heap holds spans, far fewer than there are plans."""


class TimerHeap:
    """Calls `due(index, at, now)` when a planned time has come. Plans are never taken back: `due` sees if one
    is out of date. Times are seconds since the epoch. `due` is called in `context`, else in a copy of that
    of whoever armed the timer."""

    __slots__ = (
        "_clock",
        "_context",
        "_due",
        "_heap",
        "_loop",
        "_plans",
        "_stopped",
        "_timer",
        "_timer_at",
        "last_tick_at",
    )

    def __init__(
        self, clock: SteadyClock, due: Callable[[int, float, float], None], context: Context | None = None
    ) -> None:
        self._clock = clock
        self._context = context
        self._due = due
        self._heap: list[int] = []
        """The spans that have plans, each once."""
        self._plans: dict[int, list[tuple[float, int]]] = {}
        """(at, index) by span, in no order."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._stopped = False
        self.last_tick_at = clock.now()

    def late_by(self, now: float) -> float:
        """Seconds since the earliest entry was due; 0 while there is time yet."""
        return max(0.0, now - self._earliest()) if self._heap else 0.0

    def start(self) -> None:
        """On the running loop."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def clear(self) -> None:
        """Forget every plan."""
        self._heap.clear()
        self._plans.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = float("inf")

    def plan(self, at: float, index: int) -> None:
        """Look at `index` at `at`."""
        span = int(at * _SPANS_A_SECOND)
        plans = self._plans.get(span)
        if plans is None:
            self._plans[span] = [(at, index)]
            heappush(self._heap, span)
        else:
            plans.append((at, index))
        if at < self._timer_at:
            self._arm()

    def _earliest(self) -> float:
        """The time of the earliest plan; there must be one."""
        return min(self._plans[self._heap[0]])[0]

    def _arm(self) -> None:
        """Set the timer to the earliest plan."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped or self._loop is None or not self._heap:
            self._timer_at = float("inf")
            return
        self._timer_at = at = self._earliest()
        self._timer = self._loop.call_at(self._clock.to_loop(at), self._tick, context=self._context)

    def _tick(self) -> None:
        self._timer = None
        if self._stopped:
            return
        self._timer_at = float("-inf")  # what is planned from here is seen below
        heap = self._heap
        self.last_tick_at = now = self._clock.now()
        horizon = now + SLACK
        last = int(horizon * _SPANS_A_SECOND)
        plans: list[tuple[float, int]] = []
        later: list[tuple[float, int]] = []
        left, until = _LOOK_EVERY, now + TURN
        try:
            while left and heap and heap[0] <= last:
                plans = self._plans.pop(heappop(heap))
                plans.sort(reverse=True)
                while plans:
                    at, index = plans.pop()
                    if at > horizon:
                        later.append((at, index))
                    else:
                        self._due(index, at, now)
                        left -= 1
                        if not left:
                            if self._clock.now() > until:
                                break
                            left = _LOOK_EVERY
        finally:  # a KeyboardInterrupt may come in between: the other plans are kept
            for at, index in (*plans, *later):
                self.plan(at, index)
            self._arm()
