"""Event loop lag: the longest delay of a short timer within the last minute."""

from __future__ import annotations

import asyncio

EVERY = 0.1
"""Seconds between measurements."""
WINDOW = 30.0
"""Seconds of one window; the figure covers the present one and the one before."""


class LoopLag:
    """`run` measures for ever; `seconds` is the longest lag seen."""

    def __init__(self) -> None:
        self._present = 0.0
        self._before = 0.0

    @property
    def seconds(self) -> float:
        return max(self._present, self._before)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        window_ends = loop.time() + WINDOW
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            now = loop.time()
            self._present = max(self._present, now - due)
            if now >= window_ends:
                self._before, self._present = self._present, 0.0
                window_ends = now + WINDOW
