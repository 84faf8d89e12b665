"""Checkers that hold connections of `ctx.db`. Copied into the folder of a test's configuration.

They begin when a file `begin` exists, and hold until a file `let_go` does.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from dozor import Context

FOLDER = Path(__file__).parent
BEGIN = FOLDER / "begin"
LET_GO = FOLDER / "let_go"
_loops: list[asyncio.AbstractEventLoop] = []
_kept: list[Any] = []


async def know_the_loop(ctx: Context) -> None:
    """For `hold_in_thread`."""
    _loops[:] = [asyncio.get_running_loop()]


async def hold(ctx: Context) -> None:
    """In `async with`."""
    await _begin()
    async with ctx.db.acquire() as connection:
        await _keep(ctx, connection)


async def hold_in_transaction(ctx: Context) -> None:
    """Idle in a transaction that has done something."""
    await _begin()
    async with ctx.db.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE kept (number int) ON COMMIT DROP")
        await _keep(ctx, connection)


def hold_in_thread(ctx: Context) -> None:
    """A plain function that has the runner's loop acquire for it, and waits in its thread."""
    while not _loops:
        time.sleep(0.01)  # noqa: TID251 -- in a thread
    asyncio.run_coroutine_threadsafe(hold(ctx), _loops[0]).result()


async def leak(ctx: Context) -> None:
    """Acquires and never releases."""
    connection = await ctx.db.acquire()
    await connection.fetchval("SELECT 1")
    _kept.append(connection)
    _note(ctx, "leaked")


async def hold_deaf(ctx: Context) -> None:
    """Holds one and swallows every cancellation."""
    async with ctx.db.acquire() as connection:
        await connection.fetchval("SELECT 1")
        _note(ctx, "holds")
        while not LET_GO.exists():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue


async def take_six(ctx: Context) -> None:
    """In a process of its own, which has fewer."""
    kept = [await ctx.db.acquire() for _ in range(6)]
    _note(ctx, f"got {len(kept)}")


async def use(ctx: Context) -> None:
    """A checker that needs a connection for a moment."""
    await ctx.db.fetchval("SELECT 1")
    _note(ctx, "used")


async def _begin() -> None:
    while not BEGIN.exists():  # noqa: ASYNC110 -- a file
        await asyncio.sleep(0.05)


async def _keep(ctx: Context, connection: Any) -> None:
    await connection.fetchval("SELECT 1")
    _note(ctx, f"holds {ctx.run_id}")
    while not LET_GO.exists():  # noqa: ASYNC110 -- a file
        await asyncio.sleep(0.05)


def _note(ctx: Context, line: str) -> None:
    with (FOLDER / f"{ctx.task}.runs").open("a") as file:
        file.write(line + "\n")
