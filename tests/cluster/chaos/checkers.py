"""Checkers of the replicas. Each run writes its begin and its end to a file that is only appended to, and an
order before it is carried out.

A line: kind, task, run, replica's pid, CLOCK_MONOTONIC in nanoseconds, due time in seconds since the epoch,
epoch. An order is a file `PID.order`, carried out by the next run of the process with this pid.
Copied into the folder of the configurations.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from pathlib import Path

from dozor import Context

FOLDER = Path(__file__).parent


async def work(ctx: Context, seconds: float = 0.15) -> None:
    """Of a task that runs all the time: a transaction on `ctx.db`, then a while of nothing."""
    _note("begin", ctx)
    try:
        order = _order()
        if order:
            _note("order", ctx)
        match order:
            case "block":
                threading.Event().wait(60)  # the fault: nothing on the loop goes on
            case "hold the GIL":
                re.match(r"(a+)+$", "a" * 60 + "b")
            case _:
                pass
        try:
            async with ctx.db.acquire(timeout=2) as connection, connection.transaction():
                await connection.execute("SELECT 1")
        except Exception as error:  # noqa: BLE001 -- the database is away: a fault of the campaign
            ctx.log.debug("without the database: {}", error)
        await asyncio.sleep(seconds)
    finally:
        _note("end", ctx)


async def by_command(ctx: Context) -> None:
    """Of a task that runs when somebody says so."""
    _note("begin", ctx)
    _note("end", ctx)


async def in_pool(ctx: Context, seconds: float = 0.2) -> None:
    """Of a task whose runs any process takes."""
    _note("begin", ctx)
    try:
        await asyncio.sleep(seconds)
    finally:
        _note("end", ctx)


async def sick(ctx: Context) -> None:
    """Fails while the file of its name holds a word, and says the word."""
    word = _read(FOLDER / ctx.task)
    _note("begin", ctx)
    _note("end", ctx)
    if word:
        raise RuntimeError(word)


def _order() -> str:
    file = FOLDER / f"{os.getpid()}.order"
    order = _read(file)
    if order:
        file.unlink(missing_ok=True)
    return order


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _note(kind: str, ctx: Context) -> None:
    due = ctx.scheduled_at.timestamp()
    at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    epoch = ctx.run_id.rpartition("-")[0]
    line = f"{kind} {ctx.task} {ctx.run_id} {os.getpid()} {at} {due!r} {epoch}\n"
    target = os.open(FOLDER / "runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(target, line.encode())
    finally:
        os.close(target)
