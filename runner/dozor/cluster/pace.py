"""A least gap between statements, so that many small batches become few larger ones."""

from __future__ import annotations

import asyncio

GAP = 0.01
"""Seconds. What comes alone waits for nothing; what comes oftener waits this long at most."""


class Pace:
    """`wait` before each statement."""

    def __init__(self, gap: float = GAP) -> None:
        self._gap = gap
        self._last = float("-inf")

    async def wait(self) -> None:
        """Until `gap` seconds after the last time."""
        loop = asyncio.get_running_loop()
        left = self._last + self._gap - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self._last = loop.time()
