"""Asking a server for trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from dozor.storage.postgres.pool import Connection, connect, disconnect

SECRET = "s3cr3t-pa55"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await connect(dsn)
    try:
        yield connection
    finally:
        await disconnect(connection)


async def error_of(work: Callable[[], Awaitable[object]]) -> Exception:
    """What it raises, be it at the call or at the wait: the driver does both."""
    with pytest.raises(Exception) as caught:
        async with asyncio.timeout(20):
            await work()
    return caught.value
