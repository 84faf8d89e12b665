"""A least gap between statements, so that many small batches become few larger ones."""

from __future__ import annotations

import asyncio

GAP = 0.01
"""Seconds at most between two batches."""
GAP_FOR_EACH = 0.001
"""Seconds for each entry of the batch before: what comes seldom hardly waits, above 1,000/s batches grow."""


def gap_after(entries: int) -> float:
    """Seconds that the batch after one of so many entries waits. Pure."""
    return min(GAP, GAP_FOR_EACH * max(1, entries))


class Pace:
    """`wait` before each statement; `took` says how much the last one did."""

    def __init__(self) -> None:
        self._gap = GAP
        self._last = float("-inf")

    def took(self, entries: int) -> None:
        """The last batch had so many entries. Without it the gap is `GAP`."""
        self._gap = gap_after(entries)

    async def wait(self) -> None:
        """Until the gap has passed since the last time."""
        loop = asyncio.get_running_loop()
        left = self._last + self._gap - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self._last = loop.time()
