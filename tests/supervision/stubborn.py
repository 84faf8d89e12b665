"""Checkers that keep something running, take something away from the runner, or talk without end."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time

from loguru import logger

from dozor import Context

_taken = False


def tick(ctx: Context) -> None:
    with open(f"{ctx.task}.runs", "a") as file:
        file.write(f"{time.time()}\n")


async def talk(ctx: Context) -> None:
    """Fills a pipe with every run, by the log and by hand."""
    for number in range(400):
        ctx.log.info("line {} {}", number, "x" * 200)
    print("y" * 100_000)


async def stuck_to_thread() -> None:
    await asyncio.to_thread(threading.Event().wait, 600)


def stuck_thread() -> None:
    threading.Event().wait(600)


async def stuck_thread_of_its_own(ctx: Context) -> None:
    """Not a daemon: the interpreter would wait for it."""
    threading.Thread(target=threading.Event().wait, args=(600,), name="left alone").start()
    await ctx.stopping.wait()


async def ignores_cancellation() -> None:
    async def never() -> None:
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue

    _kept.append(asyncio.create_task(never()))


_kept: list[asyncio.Task[None]] = []


async def takes_over(ctx: Context) -> None:
    """Once, as a library does that sets itself up with its first call."""
    global _taken
    if not _taken:
        _taken = True
        logger.remove()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    ctx.log.info("a line")


class Broken:
    """A stream that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError("no space")

    def flush(self) -> None:
        raise SystemExit("no flush")


def _raises(*args: object) -> None:
    raise SystemExit("from the log")


async def spoils() -> None:
    """Changes what the runner works with."""
    logger.add(_raises, catch=False)
    logger.configure(patcher=_raises)
    logger.disable("")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    await loop.shutdown_default_executor()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    sys.setrecursionlimit(sys.getrecursionlimit() - 100)
    sys.stdout = sys.stderr = Broken()
