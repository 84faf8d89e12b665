"""Whatever a checker raises on the loop, beside it or in a thread: its own failure, and the runner goes on."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dozor.lifecycle import run_to_end
from dozor.supervision.core.state import Failure
from dozor.supervision.execution import left_behind
from dozor.supervision.runs import ownership
from dozor.supervision.runs.ownership import own_tasks, own_threads, scope_of_escape
from tests.supervision.stage import Seen, spec, supervising
from tests.waiting import until


class Odd(BaseException):
    pass


async def boom(error: BaseException) -> None:
    await asyncio.sleep(0.01)
    raise error


async def gathered() -> None:
    await asyncio.gather(boom(SystemExit(3)), asyncio.sleep(0.1))


async def grouped() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(boom(KeyboardInterrupt()))
        group.create_task(asyncio.sleep(0.1))


async def spawned(error: BaseException) -> None:
    task = asyncio.create_task(boom(error))
    await asyncio.sleep(0.1)
    del task


async def spawned_exit() -> None:
    await spawned(SystemExit(4))


async def spawned_odd() -> None:
    await spawned(Odd("odd"))


async def spawned_and_kept() -> None:
    task = asyncio.create_task(boom(ValueError("kept")))
    kept.append(task)
    await asyncio.sleep(0.1)


kept: list[asyncio.Task[None]] = []


def raises(error: BaseException) -> None:
    raise error


async def called_soon() -> None:
    asyncio.get_running_loop().call_soon(raises, SystemExit(5))
    await asyncio.sleep(0.05)


async def called_later() -> None:
    asyncio.get_running_loop().call_later(0.01, raises, ValueError("in a callback"))
    await asyncio.sleep(0.1)


async def done_callback() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(lambda _: raises(KeyboardInterrupt()))
    await asyncio.sleep(0.05)


def thread_dies() -> None:
    thread = threading.Thread(target=raises, args=(RuntimeError("half of the work was not done"),))
    thread.start()
    thread.join()


FAILING: list[tuple[Callable[..., Any], str]] = [
    (gathered, "SystemExit"),
    (grouped, "KeyboardInterrupt"),
    (spawned_exit, "SystemExit"),
    (spawned_odd, "Odd"),
    (spawned_and_kept, "ValueError"),
    (called_soon, "SystemExit"),
    (called_later, "ValueError"),
    (done_callback, "KeyboardInterrupt"),
    (thread_dies, "RuntimeError"),
]


def on_own_loop(
    *functions: Callable[..., Any], enough: Callable[[Seen], bool]
) -> tuple[Seen, list[BaseException]]:
    """Supervise `functions` on a loop that is ours, as `dozor run` has one; what was attributed to nobody."""
    escaped: list[BaseException] = []

    def escape(error: BaseException) -> None:
        scope, step = scope_of_escape(error)
        if scope is None:
            escaped.append(error)
        elif not step:
            scope.note(error)

    async def main() -> Seen:
        specs = [
            spec(function.__name__, function, isolation=isolation(function), max_consecutive_failures=2)
            for function in functions
        ]
        async with supervising(*specs) as (_, seen):
            await until(lambda: enough(seen))
            return seen

    with asyncio.Runner() as runner:
        own_tasks(runner.get_loop())
        return run_to_end(runner.get_loop(), main(), escape), escaped


def isolation(function: Callable[..., Any]) -> Any:
    from dozor.config.tasks import Isolation

    return Isolation.INLINE if asyncio.iscoroutinefunction(function) else Isolation.THREAD


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_behind, "LOOK_AFTER", 0.05)
    before = threading.excepthook
    monkeypatch.setattr(threading, "excepthook", before)
    own_threads()


async def fine() -> None:
    pass


@pytest.mark.parametrize(("function", "error_type"), FAILING, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_run_raises_beside_itself_is_its_failure(function: Callable[..., Any], error_type: str) -> None:
    def enough(seen: Seen) -> bool:
        return len(seen.failures(function.__name__)) >= 2 and seen.successes.get("fine", 0) >= 3

    seen, escaped = on_own_loop(function, fine, enough=enough)
    failures: list[Failure] = seen.failures(function.__name__)
    assert {failure.error_type for failure in failures} == {error_type}
    assert function.__name__ not in seen.successes
    assert not escaped
