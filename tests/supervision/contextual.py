"""Checkers that look at the context they run in, spoil it, and return what has to be awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import decimal
import functools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from loguru import logger

P = ParamSpec("P")
T = TypeVar("T")
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def seen() -> str:
    return f"{tenant.get()} {decimal.getcontext().prec} {decimal.getcontext().traps[decimal.Inexact]}"


def spoil(path: str) -> None:
    """Notes what it finds, and changes everything that it can."""
    with Path(path).open("a") as file:
        file.write(seen() + "\n")
    tenant.set("acme")
    decimal.getcontext().prec = 3
    decimal.getcontext().traps[decimal.Inexact] = True


async def spoil_inline(path: str) -> None:
    spoil(path)
    await asyncio.sleep(0)


def spoil_thread(path: str) -> None:
    spoil(path)


def traced(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator as many have one: a plain function around an async one."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        tenant.set("traced")
        return function(*args, **kwargs)

    return wrapper


async def late(path: str = "") -> None:
    await asyncio.sleep(0)
    raise RuntimeError(f"payouts are late for {tenant.get()}")


decorated = traced(late)
partial = functools.partial(late, path="x")


class Method:
    @classmethod
    @traced
    async def check(cls) -> None:
        await late()

    def __call__(self) -> Awaitable[None]:
        return late()


called = Method()


def lambda_like() -> Any:
    return late()


async def nested() -> Any:
    """The await is missing."""
    return late()


class Custom:
    def __await__(self) -> Generator[Any, None, None]:
        return late().__await__()


def custom() -> Any:
    return Custom()


def concurrent_future() -> Any:
    executor = concurrent.futures.ThreadPoolExecutor(1)

    def work() -> None:
        raise RuntimeError("payouts are late for nobody")

    return executor.submit(work)


async def task_in_progress() -> Any:
    return asyncio.get_running_loop().create_task(late())


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Any:
    return _generator()


def async_generator() -> Any:
    return _async_generator()


async def generator_of_async() -> Any:
    return _generator()


@contextlib.contextmanager
def managed() -> Iterator[None]:
    yield


def manager() -> Any:
    return managed()


def value() -> object:
    return {"sent": 3}


async def value_of_async() -> object:
    return [1, 2, 3]


# -- forks


def _square(number: int) -> int:
    return number * number


def pool(path: str, method: str = "fork") -> None:
    """The end of the block terminates the workers with SIGTERM."""
    with multiprocessing.get_context(method).Pool(2) as workers:
        total = sum(workers.map(_square, range(10)))
    _note(path, f"sum {total}")


async def pool_on_the_loop(path: str) -> None:
    pool(path)


def executor(path: str) -> None:
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
        _note(path, f"sum {sum(workers.map(_square, range(10)))}")


def terminated(path: str) -> None:
    """Ended at once: the signal may come before the child has done anything."""
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(target=_helper)
        process.start()
        process.terminate()
        process.join(20)
        # multiprocessing of another thread may have reaped it, and is about to say so.
        deadline = time.monotonic() + 5
        while process.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: TID251 -- a thread of its own
        _note(path, f"exit {process.exitcode}")


def by_os_fork(path: str, how: str) -> None:
    _fork(path, how)


async def by_os_fork_on_the_loop(path: str, how: str) -> None:
    """`waits`: the child wants to go on with the event loop of its parent."""
    pid = _fork(path, how)
    if pid == 0:
        await asyncio.sleep(0)
        _note(path, "the child is a second runner")
    await asyncio.sleep(0.01)


def _fork(path: str, how: str) -> int:
    """The child goes on as if it were the run, and leaves it as `how` says."""
    pid = os.fork()
    if pid == 0:
        match how:
            case "raises":
                raise RuntimeError("in the child")
            case "exits":
                sys.exit(7)
            case _:
                return pid
    _, status = os.waitpid(pid, 0)
    _note(path, f"child {os.waitstatus_to_exitcode(status)}")
    return pid


def leave_helper(path: str) -> None:
    """A process that outlives the runner."""
    process = multiprocessing.get_context("fork").Process(target=_helper)
    process.start()
    _note(path, str(process.pid))
    process.join()


def _helper() -> None:
    threading.Event().wait(60)


def log_in_child(path: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=_log)
    process.start()
    process.join(20)
    _note(path, f"exit {process.exitcode}")


def _log() -> None:
    logger.info("a line of the child")


def hang_with_child(path: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=_helper)
    process.start()
    _note(path, str(process.pid))
    threading.Event().wait(60)


def _note(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line + "\n")


def preexec(path: str) -> None:
    done = subprocess.run(["true"], preexec_fn=os.setpgrp, check=False)
    _note(path, f"exit {done.returncode}")
