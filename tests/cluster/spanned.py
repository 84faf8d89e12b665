"""A checker that writes when each of its runs began and ended. Copied beside a configuration."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from dozor import Context

FOLDER = Path(__file__).parent
SECONDS = float(os.environ.get("RUN_SECONDS", "0.05"))


async def run(ctx: Context) -> None:
    _write(ctx, "begin")
    try:
        await asyncio.sleep(SECONDS)
    finally:
        _write(ctx, "end")


async def fenced(ctx: Context) -> None:
    """Writes a row for each run, in a transaction of the run."""
    async with ctx.fence() as connection:
        await connection.execute(
            "INSERT INTO fenced (run_id, epoch, pid) VALUES ($1, $2, $3)", ctx.run_id, ctx.epoch, os.getpid()
        )
    _write(ctx, "begin")
    _write(ctx, "end")


def _write(ctx: Context, what: str) -> None:
    line = f"{time.monotonic()} {what} {ctx.run_id} {os.getpid()}\n"
    with (FOLDER / f"{ctx.task}.spans").open("a") as file:
        file.write(line)


async def long(ctx: Context) -> None:
    _write(ctx, "begin")
    try:
        await asyncio.sleep(60)
    finally:
        _write(ctx, "end")


async def released(ctx: Context) -> None:
    """Goes on until there is a file `release`, whatever asks it to stop; it can be cancelled."""
    _write(ctx, "begin")
    try:
        while not (FOLDER / "release").exists():  # noqa: ASYNC110 -- a file
            await asyncio.sleep(0.05)
    finally:
        _write(ctx, "end")


async def patient(ctx: Context, seconds: float) -> None:
    """Takes so many seconds, whatever asks it to stop; it can be cancelled."""
    _write(ctx, "begin")
    try:
        await asyncio.sleep(seconds)
    finally:
        _write(ctx, "end")
