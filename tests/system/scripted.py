"""Checkers that follow the orders in a file. Copied into the folder of a test's configuration.

`NAME.order` holds one of the orders below (none: succeed); each run adds a line to `NAME.runs`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from dozor import Context, Fatal

FOLDER = Path(__file__).parent


async def obey(ctx: Context) -> None:
    """Orders: `fail WORDS`, `fatal WORDS`, `alerts N`, `raise NAME`, `hang`, `polite`, `deaf`."""
    _note(ctx)
    order, _, words = _order(ctx.task).partition(" ")
    match order:
        case "" | "succeed":
            return
        case "fail":
            raise RuntimeError(words or "as ordered")
        case "fatal":
            raise Fatal(words)
        case "raise":
            raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[words]("as ordered")
        case "library-cancelled":
            raise asyncio.CancelledError
        case "hang":
            await asyncio.Event().wait()
        case "polite":
            await ctx.stopping.wait()
            _write(ctx, "asked to stop")
        case "deaf":
            await _deaf()
        case "last-words":
            await ctx.stopping.wait()
            ctx.alert("at the last moment", "critical")
        case "alerts":
            for number in range(int(words)):
                ctx.alert(f"{ctx.task} says {number}", "info")
        case _:
            raise AssertionError(f"no such order: {order}")


async def use_database(ctx: Context) -> None:
    """As `obey`, after a look into the database."""
    await ctx.db.fetchval("SELECT 1")
    await obey(ctx)


def sleep_in_thread(ctx: Context) -> None:
    """A plain function that listens to nobody."""
    _note(ctx)
    threading.Event().wait(60)


async def _deaf() -> None:
    """Swallows every cancellation."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


def _order(task: str) -> str:
    try:
        return (FOLDER / f"{task}.order").read_text().strip()
    except FileNotFoundError:
        return ""


def _note(ctx: Context) -> None:
    _write(ctx, f"{ctx.run_id} attempt {ctx.attempt} at {time.time()}")


def _write(ctx: Context, line: str) -> None:
    with (FOLDER / f"{ctx.task}.runs").open("a") as file:
        file.write(line + "\n")
