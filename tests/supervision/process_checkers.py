"""Checkers that run in a process of their own, and do there what must hurt nobody else."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dozor import Context, Fatal

_leaked: list[bytearray] = []


async def pid(path: str) -> None:
    """Writes the number of its process."""
    _append(path, str(os.getpid()))


def plain(path: str) -> None:
    """A plain function."""
    _append(path, str(os.getpid()))


async def speak(ctx: Context, path: str) -> None:
    """Says everything a run can say."""
    ctx.log.info("a line from {}", ctx.task)
    print("printed")
    ctx.heartbeat()
    ctx.progress(3, 10)
    ctx.backlog(42, ctx.scheduled_at)
    ctx.alert("look here", "warning")
    ctx.alert("ё\x00\ud800" * 1_000_000, "critical")
    _append(path, f"{ctx.run_id} {ctx.attempt}")
    await ctx.stopping.wait(30)
    _append(path, "stopping" if ctx.stopping else "not stopping")


async def ask_database(ctx: Context, path: str) -> None:
    """Uses a pool of its own."""
    _append(path, str(await ctx.db.fetchval("SELECT current_setting('application_name')")))


async def fail() -> None:
    raise ValueError("no such lot")


async def give_up() -> None:
    raise Fatal("no such account")


async def slow_request() -> None:
    """`asyncio.timeout` cancels the task that it is used in."""
    async with asyncio.timeout(0.05):
        await asyncio.sleep(60)


async def half_of_a_group() -> None:
    """A group cancels the task that it is used in when a member fails."""
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await asyncio.sleep(60)


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def exit_in_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0.2)


async def raise_in_signal_handler() -> None:
    """As a library that takes SIGALRM for its time limits."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError("too slow")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    await asyncio.sleep(0.2)


async def segfault() -> None:
    ctypes.string_at(0)


async def leave() -> None:
    os._exit(3)


async def exit_politely() -> None:
    sys.exit(4)


async def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def sleep_for_ever() -> None:
    await deeper()


async def deeper() -> None:
    await asyncio.sleep(3600)


async def deaf() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def block_the_loop() -> None:
    time.sleep(3600)  # noqa: TID251, ASYNC251 -- what this one is about


async def leak(path: str, megabytes: int) -> None:
    """Keeps so much more with every run."""
    _leaked.append(bytearray(os.urandom(1000)) * (megabytes * 1000))
    _append(path, str(os.getpid()))


async def leak_at_once() -> None:
    """Takes more and more within one run."""
    while True:
        _leaked.append(bytearray(os.urandom(1000)) * 20_000)
        await asyncio.sleep(0.05)


def _append(path: str, line: Any) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


def pool_of_processes() -> None:
    """The end of the block terminates the workers."""
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


def forks_a_helper(path: str) -> None:
    """Waits for a forked helper that does not end."""
    helper = multiprocessing.get_context("fork").Process(target=threading.Event().wait, args=(600,))
    helper.start()
    Path(path).write_text(str(helper.pid))
    helper.join()


def leaves_a_forked_helper(path: str) -> None:
    helper = multiprocessing.get_context("fork").Process(target=threading.Event().wait, args=(600,))
    helper.start()
    Path(path).write_text(str(helper.pid))


def returns_in_a_forked_child() -> None:
    """Both come back from the checker; only one of them is the run."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)


def until_file_apart(path: str, go: str) -> None:
    """Notes the run in `path` and ends when the file `go` exists."""
    _append(path, "run")
    while not exists(go):
        threading.Event().wait(0.01)


def exists(path: str) -> bool:
    return Path(path).exists()
