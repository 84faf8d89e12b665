"""Threads of checkers and of the runner, apart from each other."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from types import SimpleNamespace

import pytest

from dozor.process import threads
from dozor.process.threads import CheckerThreads, current_run, in_own_thread
from tests.waiting import until


async def of(checker: str, event: threading.Event) -> None:
    current_run.set(SimpleNamespace(name=checker))
    await asyncio.to_thread(event.wait, 30)


async def test_one_checker_can_use_up_its_own_threads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "THREADS_OF_A_CHECKER", 2)
    executor = CheckerThreads()
    asyncio.get_running_loop().set_default_executor(executor)
    event = threading.Event()
    stuck = [asyncio.create_task(of("stuck", event)) for _ in range(10)]
    try:
        await until(lambda: executor.busy() == ["stuck"])
        async with asyncio.timeout(5):
            await asyncio.to_thread(int, "1")
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
            other = asyncio.create_task(of("other", event))
            await until(lambda: sorted(executor.busy()) == ["other", "stuck"])
        assert sum(thread.name == "a thread of stuck" for thread in threading.enumerate()) == 2
    finally:
        event.set()
    await asyncio.gather(*stuck, other)
    await until(lambda: executor.busy() == [])


async def test_shutdown_does_not_wait_for_a_thread_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SHUTDOWN_SECONDS", 0.05)
    executor = CheckerThreads()
    event = threading.Event()
    future = executor.submit(event.wait, 30)
    began = time.monotonic()
    executor.shutdown(wait=True)
    assert time.monotonic() - began < 5
    with pytest.raises(RuntimeError):
        executor.submit(int)
    event.set()
    await asyncio.wrap_future(future)


async def test_calls_return_raise_and_are_reused() -> None:
    executor = CheckerThreads()
    asyncio.get_running_loop().set_default_executor(executor)
    assert await asyncio.to_thread(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await asyncio.to_thread(int, "x")
    names = {await asyncio.to_thread(threading.get_ident) for _ in range(20)}
    # A thread counts as free a moment after its call has returned: not every call finds one.
    assert len(names) < 10, "a thread that has come back is used again"


_VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def test_work_in_a_thread_of_its_own_has_the_context_and_raises() -> None:
    _VARIABLE.set("ours")
    assert await in_own_thread(_VARIABLE.get) == "ours"
    with pytest.raises(ValueError, match="invalid literal"):
        await in_own_thread(int, "x")
