"""Retries database work until the database is available again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dozor.backoff import Backoff
from dozor.storage.postgres.pool import unavailable

T = TypeVar("T")


async def until_available(ask: Callable[[], Awaitable[T]], alive: Callable[[], None]) -> T:
    """The answer. `alive` is called at each attempt; errors that are no outage are raised."""
    backoff = Backoff(0.1, 1.0)
    while True:
        try:
            return await ask()
        except Exception as error:
            if not unavailable(error):
                raise
        alive()
        await asyncio.sleep(backoff.next())


async def every(look: Callable[[], Awaitable[None]], every: float) -> None:
    """`look`, and again after `every` seconds, for ever; errors that are no outage are raised."""
    while True:
        try:
            await look()
        except Exception as error:
            if not unavailable(error):
                raise
        await asyncio.sleep(every)
