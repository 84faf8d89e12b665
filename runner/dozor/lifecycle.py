"""Beginning and end of the process: signals, and named cleanups in reverse order, each with a deadline."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from loguru import logger

from dozor.forking import own_signal
from dozor.language import msg

_T = TypeVar("_T")
CLEANUP_SECONDS = 30.0
MOST_ESCAPES = 200
ESCAPES_WITHIN = 10.0
"""Seconds."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Cleanups:
    """What has to be undone, last in first out. One that fails or hangs does not stop the others."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Callable[[], Awaitable[object]]]] = []

    def add(self, name: str, undo: Callable[[], Awaitable[object]]) -> None:
        self._stack.append((name, undo))

    async def run(self) -> None:
        """Undo everything, once."""
        while self._stack:
            name, undo = self._stack.pop()
            try:
                async with asyncio.timeout(CLEANUP_SECONDS):
                    await undo()
            except TimeoutError:
                logger.error(msg("log-ending-slow", name=name, seconds=f"{CLEANUP_SECONDS:.0f}"))
            except Exception as error:  # noqa: BLE001 -- the border: the other cleanups must run
                logger.opt(exception=error).error(msg("log-ending-failed", name=name))


def run_to_end(
    loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, _T], escaped: Callable[[BaseException], None]
) -> _T:
    """Run `main` on `loop`, which is ours as a whole, whatever else on it raises.

    asyncio ends a loop for SystemExit and KeyboardInterrupt of any task or callback, for an exception of a
    signal handler, and for `loop.stop()`. Here `escaped` is told of each, and the loop goes on. Raises what
    `main` raises; and what escapes `MOST_ESCAPES` times within `ESCAPES_WITHIN` seconds: then the loop itself
    is broken.
    """
    task = loop.create_task(main)
    times: deque[float] = deque(maxlen=MOST_ESCAPES)
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if task.done():
                raise
            times.append(time.monotonic())
            if len(times) == MOST_ESCAPES and times[-1] - times[0] < ESCAPES_WITHIN:
                raise
            escaped(error)


def on_signal(number: signal.Signals, callback: Callable[..., object], *args: object) -> None:
    """Call `callback` on the running loop at each such signal; forked children do not inherit this."""
    loop = asyncio.get_running_loop()
    own_signal(number, lambda: loop.add_signal_handler(number, callback, *args))


def on_signals(stop: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT sets `stop`; a second one ends the process at once."""

    def received(number: int) -> None:
        if stop.is_set():
            logger.critical(msg("log-second-signal"))
            os._exit(128 + number)
        logger.info(msg("log-signal", name=signal.Signals(number).name))
        stop.set()

    for number in SIGNALS:
        on_signal(number, received, number)
