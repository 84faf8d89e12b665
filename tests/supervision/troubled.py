"""Checkers of the system tests: each does one of the things that supervision must not let escape."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path

from dozor import Context

FOLDER = Path(__file__).parent
_leaked: list[bytearray] = []


async def tick(ctx: Context) -> None:
    """A healthy one: adds a line to NAME.runs."""
    note(ctx, str(time.time()))


async def hang_on_socket(ctx: Context, port: int) -> None:
    """Waits for an answer that never comes."""
    note(ctx, "asks")
    await ask_provider(port)


async def ask_provider(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readline()
    finally:
        writer.close()


async def block(ctx: Context, seconds: float) -> None:
    """Blocks the loop, once."""
    if (FOLDER / f"{ctx.task}.runs").exists():
        return
    note(ctx, f"blocks {time.time()}")
    recompute(seconds)


def recompute(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 -- what this one is about


async def deaf(ctx: Context) -> None:
    """Swallows every cancellation."""
    note(ctx, "begins")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def silent(ctx: Context) -> None:
    """Never says that it is well."""
    await asyncio.sleep(3600)


async def segfault(ctx: Context) -> None:
    ctypes.string_at(0)


async def leave(ctx: Context) -> None:
    os._exit(3)


async def leak(ctx: Context) -> None:
    """100 MB more with every run."""
    note(ctx, str(os.getpid()))
    _leaked.append(bytearray(os.urandom(1000)) * 100_000)


async def alternate(ctx: Context) -> None:
    """Fails every other time."""
    path = FOLDER / f"{ctx.task}.runs"
    count = len(path.read_text().splitlines()) if path.exists() else 0
    note(ctx, "run")
    if count % 2 == 0:
        raise RuntimeError("every other time")


async def ask_database(ctx: Context) -> None:
    await ctx.db.fetchval("SELECT 1")
    note(ctx, "asked")


def note(ctx: Context, line: str) -> None:
    with (FOLDER / f"{ctx.task}.runs").open("a") as file:
        file.write(line + "\n")


async def spin(ctx: Context) -> None:
    """Never ends, and never lets anything else run."""
    while True:
        pass


def end_late(ctx: Context) -> None:
    """Listens to nobody, and fails after four seconds."""
    time.sleep(4)  # noqa: TID251 -- what this one is about
    raise RuntimeError("late")


async def end_late_on_the_loop(ctx: Context) -> None:
    """Swallows cancellation for four seconds, and fails."""
    until = time.monotonic() + 4
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue
    raise RuntimeError("late")
