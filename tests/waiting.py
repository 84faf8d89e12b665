"""Waiting on a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

MOST = 8.0


def stretched(seconds: float) -> float:
    """`seconds` of a machine with a processor to spare; as much longer as several processes share one."""
    sharing = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * min(max(1.0, sharing), MOST)


async def until(condition: Callable[[], bool], *, within: float = 10.0, every: float = 0.01) -> None:
    """Returns once `condition()` holds; raises TimeoutError after `within` seconds, stretched.

    `every`: seconds between two looks.
    """
    async with asyncio.timeout(stretched(within)):
        while not condition():  # noqa: ASYNC110 -- conditions of any kind, not only events
            await asyncio.sleep(every)
