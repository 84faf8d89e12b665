"""Heartbeat: requests a URL of an outside monitor regularly, only while the runner is healthy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from dozor.language import msg

TIMEOUT = 10.0


class Heartbeat:
    """Requests `url` every `every` seconds while `well()`. The URL is a secret: it is never logged."""

    def __init__(self, url: str, every: float, well: Callable[[], bool]) -> None:
        self._url = url
        self._every = every
        self._well = well
        self._failing = False
        self.sent = 0
        """Requests that were answered without an error."""

    async def run(self) -> None:
        """Request for ever."""
        # Imported here: without a heartbeat it is not needed.
        from aiohttp import ClientError, ClientSession, ClientTimeout

        async with ClientSession(timeout=ClientTimeout(total=TIMEOUT)) as session:
            while True:
                if self._well():
                    try:
                        async with session.get(self._url) as answer:
                            self._answered(None if answer.status < 400 else f"HTTP {answer.status}")
                    except (ClientError, TimeoutError, OSError, ValueError) as error:
                        self._answered(type(error).__name__)
                await asyncio.sleep(self._every)

    def _answered(self, problem: str | None) -> None:
        if problem is None:
            self.sent += 1
            if self._failing:
                logger.info(msg("log-heartbeat-again"))
        elif not self._failing:
            logger.warning(msg("log-heartbeat-refused", problem=problem))
        self._failing = problem is not None
