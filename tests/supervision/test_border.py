"""Whatever a checker raises, on the loop, beside it or in a thread: its own failure; the runner goes on."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
import pytest

from dozor.config.sections.tasks import Isolation
from dozor.process.lifecycle import MOST_ESCAPES, run_to_end
from dozor.supervision.core.state import Failure
from dozor.supervision.execution import left_behind
from dozor.supervision.runs.ownership import own_tasks, own_threads, scope_of_escape
from dozor.supervision.runs.subprocesses import own_subprocesses
from tests.supervision.stage import Seen, spec, supervising
from tests.waiting import stretched, until


class Odd(BaseException):
    pass


async def boom(error: BaseException, after: float = 0.01) -> None:
    await asyncio.sleep(after)
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


async def many_exits() -> None:
    """More than a broken loop would be allowed."""
    loop = asyncio.get_running_loop()
    for _ in range(2 * MOST_ESCAPES):
        loop.call_soon(raises, SystemExit(6))
    await asyncio.gather(*(boom(SystemExit(6)) for _ in range(2 * MOST_ESCAPES)))


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
    (many_exits, "SystemExit"),
    (thread_dies, "RuntimeError"),
]


def on_own_loop(
    *functions: Callable[..., Any], enough: Callable[[Seen], bool]
) -> tuple[Seen, list[BaseException]]:
    """Supervise `functions` on a loop that is ours, as `dozor run` has one; what was attributed to nobody."""
    escaped: list[BaseException] = []

    def escape(error: BaseException) -> bool:
        scope, step = scope_of_escape(error)
        if scope is None:
            escaped.append(error)
        elif not step:
            scope.note(error)
        return scope is not None

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


def isolation(function: Callable[..., Any]) -> Isolation:
    return Isolation.INLINE if asyncio.iscoroutinefunction(function) else Isolation.THREAD


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine a thread of asyncio that waits for a process needs longer to end after it.
    monkeypatch.setattr(left_behind, "LOOK_AFTER", stretched(0.05))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(subprocess.Popen, "__init__", subprocess.Popen.__init__)
    monkeypatch.setattr(BaseProcess, "start", BaseProcess.start)
    own_threads()
    own_subprocesses()


async def fine() -> None:
    pass


@pytest.mark.parametrize(
    ("function", "error_type"), FAILING, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_a_run_raises_beside_itself_is_its_failure(
    function: Callable[..., Any], error_type: str
) -> None:
    def enough(seen: Seen) -> bool:
        return len(seen.failures(function.__name__)) >= 2 and seen.successes.get("fine", 0) >= 3

    seen, escaped = on_own_loop(function, fine, enough=enough)
    failures: list[Failure] = seen.failures(function.__name__)
    assert {failure.error_type for failure in failures} == {error_type}
    assert function.__name__ not in seen.successes
    assert not escaped


async def cancels_everybody() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()


async def waits() -> None:
    await asyncio.gather(asyncio.sleep(0.05), asyncio.sleep(0.05))


def test_a_run_that_cancels_all_tasks_cancels_nobody_elses() -> None:
    seen, escaped = on_own_loop(
        cancels_everybody,
        waits,
        enough=lambda seen: (
            seen.successes.get("waits", 0) >= 3 and seen.successes.get("cancels_everybody", 0) >= 3
        ),
    )
    assert not seen.failures("waits")
    assert not escaped


def test_a_run_may_cancel_what_it_has_started_and_be_cancelled_by_a_timeout() -> None:
    async def impatient() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    seen, _ = on_own_loop(impatient, enough=lambda seen: len(seen.failures("impatient")) >= 2)
    assert {failure.error_type for failure in seen.failures("impatient")} == {"TimeoutError"}


def test_a_loop_that_is_stopped_goes_on() -> None:
    seen, escaped = on_own_loop(
        stops_the_loop, fine, enough=lambda seen: seen.successes.get("stops_the_loop", 0) >= 3
    )
    assert seen.successes["fine"]
    assert {type(error) for error in escaped} == {RuntimeError}


def test_an_exception_of_a_signal_handler_goes_to_nobody_and_ends_nothing() -> None:
    def handler(number: int, frame: object) -> None:
        raise Odd("from a signal handler")

    def send() -> None:
        signal.raise_signal(signal.SIGUSR1)

    async def installs() -> None:
        signal.signal(signal.SIGUSR1, handler)
        # In no context of a run's, as a signal from outside.
        contextvars.Context().run(asyncio.get_running_loop().call_later, 0.01, send)

    before = signal.getsignal(signal.SIGUSR1)
    try:
        escaped: list[BaseException] = []

        def escape(error: BaseException) -> bool:
            escaped.append(error)
            return False

        async def main() -> None:
            async with supervising(spec("installs", installs), spec("fine", fine)) as (_, seen):
                await until(lambda: bool(reported))
                count = seen.successes["fine"]
                await until(lambda: seen.successes["fine"] > count + 3)

        reported: list[str] = []
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            own_tasks(loop)
            loop.set_exception_handler(lambda _, context: reported.append(repr(context.get("exception"))))
            run_to_end(loop, main(), escape)
        assert "from a signal handler" in reported[0]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_broken_loop_ends_with_its_error() -> None:
    async def main() -> None:
        await asyncio.sleep(60)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def again() -> None:
            if not over:
                loop.call_soon(again)
                raise SystemExit(7)

        over: list[bool] = []
        loop.call_soon(again)
        with pytest.raises(SystemExit):
            run_to_end(loop, main(), lambda _: False)
        over.append(True)


def test_tasks_and_threads_that_a_run_leaves_behind_are_reported_once_and_left_alone() -> None:
    done = threading.Event()
    alive: list[asyncio.Task[None]] = []

    async def leaves() -> None:
        async def helper() -> None:
            await asyncio.sleep(60)

        alive.append(asyncio.create_task(helper()))
        threading.Thread(target=done.wait, args=(20,), name="poller", daemon=True).start()
        await asyncio.sleep(0)

    def enough(seen: Seen) -> bool:
        return bool(seen.alerts) and seen.successes["leaves"] >= 20 and not any(t.done() for t in alive)

    try:
        seen, _ = on_own_loop(leaves, enough=enough)
    finally:
        done.set()
    assert len(seen.alerts) == 1
    text, severity = seen.alerts[0]
    assert severity == "warning"
    assert "leaves.<locals>.helper" in text
    assert "poller" in text


async def _by_asyncio() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    transport = process._transport  # type: ignore[attr-defined]

    def end() -> None:
        transport.get_extra_info("subprocess").wait()
        transport.close()

    keep(process, process.pid, end)


async def _by_subprocess() -> None:
    process = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 -- what checkers do
    keep(process, process.pid, process.wait)


def _in_a_thread() -> None:
    process = subprocess.Popen(["sleep", "60"])
    keep(process, process.pid, process.wait)


async def _by_multiprocessing() -> None:
    process = multiprocessing.get_context("spawn").Process(target=signal.pause, name="sleep")
    process.start()
    keep(process, process.pid or 0, process.join)


@dataclass(frozen=True, slots=True)
class Kept:
    """A process that a run has started. `wait` returns when it has ended, and notes its exit code in
    `process`: an object that is dropped without one warns.
    """

    process: object
    pid: int
    wait: Callable[[], object]


def keep(process: object, pid: int, wait: Callable[[], object]) -> None:
    """Until the end of the test."""
    started.append(Kept(process, pid, wait))


started: list[Kept] = []


@pytest.mark.parametrize("leaves", [_by_asyncio, _by_subprocess, _in_a_thread, _by_multiprocessing])
def test_a_process_that_a_run_leaves_behind_is_reported_once_and_left_alone(
    leaves: Callable[..., Any],
) -> None:
    def enough(seen: Seen) -> bool:
        return bool(seen.alerts) and seen.successes.get(leaves.__name__, 0) >= 3

    try:
        seen, _ = on_own_loop(leaves, enough=enough)
        assert all(psutil.pid_exists(one.pid) for one in started)
    finally:
        for one in started:
            os.kill(one.pid, signal.SIGKILL)
            one.wait()
        started.clear()
    [(text, severity)] = seen.alerts
    assert severity == "warning"
    assert "sleep (pid " in text
    assert "60" not in re.sub(r"pid \d+", "", text), "arguments may hold secrets"


def test_a_process_that_has_ended_is_not_reported() -> None:
    async def waits_for_it() -> None:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0

    seen, _ = on_own_loop(waits_for_it, enough=lambda seen: seen.successes.get("waits_for_it", 0) >= 10)
    assert not seen.alerts
    assert not seen.failures("waits_for_it")


def test_what_ends_soon_after_the_run_is_not_reported() -> None:
    async def closes() -> None:
        task = asyncio.create_task(asyncio.sleep(0.01))
        await asyncio.sleep(0)
        del task

    seen, _ = on_own_loop(closes, enough=lambda seen: seen.successes.get("closes", 0) >= 20)
    assert not seen.alerts


def test_an_error_in_what_was_left_behind_is_reported_with_the_task() -> None:
    async def leaves() -> None:
        task = asyncio.create_task(boom(RuntimeError("the helper died")))
        await asyncio.sleep(0)
        del task

    seen, _ = on_own_loop(leaves, enough=lambda seen: bool(seen.alerts))
    text, _severity = seen.alerts[0]
    assert "RuntimeError: the helper died (test_border.py:" in text
    assert not seen.failures("leaves")


async def test_in_an_application_nothing_of_its_own_is_changed() -> None:
    loop = asyncio.get_running_loop()
    before = (
        loop.get_task_factory(),
        loop.get_exception_handler(),
        threading.excepthook,
        threading.Thread.start,
        subprocess.Popen.__init__,
        sys.excepthook,
    )
    async with supervising(spec("fine", fine)) as (_, seen):
        await until(lambda: bool(seen.successes))
        task = asyncio.create_task(asyncio.sleep(60))
        assert type(task) is asyncio.Task
        task.cancel()
    assert before == (
        loop.get_task_factory(),
        loop.get_exception_handler(),
        threading.excepthook,
        threading.Thread.start,
        subprocess.Popen.__init__,
        sys.excepthook,
    )


@pytest.mark.parametrize(
    ("name", "error_type"),
    [("thread_dies", "RuntimeError"), ("spawned_odd", "Odd"), ("called_later", "ValueError")],
)
async def test_in_a_process_it_is_the_failure_of_the_run_as_well(name: str, error_type: str) -> None:
    task = spec(
        "apart",
        fine,
        isolation=Isolation.PROCESS,
        reference=f"test_border:{name}",
        max_consecutive_failures=2,
    )
    async with supervising(task) as (_, seen):
        await until(lambda: len(seen.failures("apart")) >= 2, within=60)
    assert {failure.error_type for failure in seen.failures("apart")} == {error_type}


async def test_what_a_run_in_a_process_leaves_behind_is_reported() -> None:
    task = spec("apart", fine, isolation=Isolation.PROCESS, reference="test_border:leaves_a_task")
    async with supervising(task) as (_, seen):
        await until(lambda: bool(seen.alerts), within=60)
    assert "boom" in seen.alerts[0][0]


async def leaves_a_task() -> None:
    kept.append(asyncio.create_task(boom(ValueError("late"), after=60)))
    await asyncio.sleep(0)
