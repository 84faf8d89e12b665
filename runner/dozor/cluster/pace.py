"""A least gap between statements, so that many small batches become few larger ones."""

from __future__ import annotations

import asyncio
import math

GAPS = (0.001, 0.02)
"""Seconds at least and at most between two batches."""
GAP_FOR_RATE = 40e-6
"""Seconds for each entry per second: at 100/s hardly anything waits, from 500/s on the gap is the longest.

A batch costs a worker about as much as 40 runs, so batches of a few runs would halve what it carries out.
"""
RATE_SECONDS = 1.0
"""Over how long the rate is averaged: a burst that stands alone does not make what follows wait."""


def gap_at(rate: float) -> float:
    """Seconds between two batches when so many entries come in a second. Pure."""
    least, most = GAPS
    return max(least, min(most, rate * GAP_FOR_RATE))


def rate_after(rate: float, seconds: float, entries: int) -> float:
    """The average rate (1/s) when `entries` have come `seconds` after it was `rate`. Pure."""
    return rate * math.exp(-max(0.0, seconds) / RATE_SECONDS) + entries / RATE_SECONDS


class Pace:
    """`wait` before each batch, or `left` of the gap; `took` says how much the last one did."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._took_at = float("-inf")
        self._last = float("-inf")

    def took(self, entries: int) -> None:
        """The last batch had so many entries."""
        now = asyncio.get_running_loop().time()
        self._rate = rate_after(self._rate, now - self._took_at, entries)
        self._took_at = now

    def left(self) -> float:
        """Seconds until the next batch may begin; 0 or less: now."""
        return self._last + gap_at(self._rate) - asyncio.get_running_loop().time()

    def begun(self) -> None:
        """A batch begins now."""
        self._last = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Until the gap has passed since the last batch began; the next one begins then."""
        left = self.left()
        if left > 0:
            await asyncio.sleep(left)
        self.begun()
