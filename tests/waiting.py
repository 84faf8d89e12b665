"""Waiting on a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    """Returns once `condition()` holds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 -- conditions of any kind, not only events
            await asyncio.sleep(0.01)
