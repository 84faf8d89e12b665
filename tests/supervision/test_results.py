"""What a checker returns is awaited, or the run has failed: what never ran is no success."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import types
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dozor import safe_background_task
from dozor.config.imports.signatures import check_kind, is_async, may_be_async
from dozor.config.sections.tasks import Isolation
from dozor.supervision.runs.results import awaited
from tests.effort import SOAK
from tests.supervision import contextual
from tests.supervision.stage import is_stopped, spec, supervising
from tests.waiting import until

START = 60.0
LATE = [
    contextual.decorated,
    contextual.partial,
    contextual.Method.check,
    contextual.called,
    contextual.lambda_like,
    contextual.nested,
    contextual.custom,
    contextual.concurrent_future,
]
UNUSABLE = [
    (contextual.generator, "a generator"),
    (contextual.async_generator, "an async generator"),
    (contextual.generator_of_async, "a generator"),
    (contextual.manager, "a context manager made of a generator"),
]
NAMES = {
    contextual.decorated: "decorated",
    contextual.partial: "partial",
    contextual.Method.check: "Method.check",
    contextual.called: "called",
}


def where(function: Callable[..., Any]) -> Isolation:
    return Isolation.INLINE if is_async(function) else Isolation.THREAD


IN_PROCESSES = {
    contextual.decorated,
    contextual.partial,
    contextual.custom,
    contextual.concurrent_future,
    contextual.generator,
}
"""In a process as well: one of each kind of result, in a thread of it and on its loop. In `make soak` all."""


def everywhere(functions: list[Any]) -> list[Any]:
    """Each where it belongs by default, inline, and in a process."""
    cases = []
    for function in functions:
        checker = function[0] if isinstance(function, tuple) else function
        apart = (Isolation.PROCESS,) if SOAK or checker in IN_PROCESSES else ()
        for isolation in dict.fromkeys((where(checker), Isolation.INLINE, *apart)):
            rest = function[1:] if isinstance(function, tuple) else ()
            cases.append(pytest.param(checker, isolation, *rest, id=f"{_name(checker)}-{isolation}"))
    return cases


def _name(function: Any) -> str:
    return NAMES.get(function) or str(function.__name__)


async def failures_of(function: Callable[..., Any], isolation: Isolation) -> list[Any]:
    """Of a task that is stopped after two. A warning that something was never awaited fails the test."""
    task = spec(
        "task",
        function,
        isolation=isolation,
        reference=f"contextual:{_name(function)}",
        max_consecutive_failures=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with supervising(task) as (supervisor, seen):
            await until(is_stopped(supervisor, "task"), within=START)
        assert not seen.successes
        gc.collect()
    return seen.failures("task")


@pytest.mark.parametrize(("function", "isolation"), everywhere(LATE))
async def test_an_awaitable_is_awaited_and_fails_with_its_own_error(
    function: Callable[..., Any], isolation: Isolation
) -> None:
    failures = await failures_of(function, isolation)
    assert {failure.error_type for failure in failures} == {"RuntimeError"}
    assert all(failure.error_text.startswith("payouts are late for ") for failure in failures)


@pytest.mark.parametrize(("function", "isolation", "what"), everywhere(UNUSABLE))
async def test_a_generator_is_a_failure_that_says_what_it_is(
    function: Callable[..., Any], isolation: Isolation, what: str
) -> None:
    failures = await failures_of(function, isolation)
    assert {failure.error_type for failure in failures} == {"NeverRanError"}
    assert all(
        failure.error_text.startswith(f"it returned {what}, which nothing iterates") for failure in failures
    )


async def test_a_variable_that_a_decorator_sets_in_its_thread_holds_in_what_is_awaited() -> None:
    failures = await failures_of(contextual.decorated, Isolation.THREAD)
    assert {failure.error_text for failure in failures} == {"payouts are late for traced"}


async def test_an_async_function_that_is_configured_to_run_in_a_thread_runs() -> None:
    failures = await failures_of(contextual.late, Isolation.THREAD)
    assert {failure.error_text for failure in failures} == {"payouts are late for nobody"}


async def test_a_task_that_an_async_checker_returns_is_awaited() -> None:
    failures = await failures_of(contextual.task_in_progress, Isolation.INLINE)
    assert {failure.error_text for failure in failures} == {"payouts are late for nobody"}


@pytest.mark.parametrize(
    ("function", "isolation"),
    [
        (contextual.value, Isolation.THREAD),
        (contextual.value, Isolation.PROCESS),
        (contextual.value_of_async, Isolation.INLINE),
        (contextual.value_of_async, Isolation.PROCESS),
    ],
)
async def test_a_plain_value_is_a_success(function: Callable[..., Any], isolation: Isolation) -> None:
    task = spec("task", function, isolation=isolation, reference=f"contextual:{_name(function)}")
    async with supervising(task) as (_, seen):
        await until(lambda: seen.successes.get("task", 0) >= 2, within=START)
    assert not seen.failures("task")


async def test_a_coroutine_from_a_thread_can_be_timed_out_and_is_named_in_the_failure() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(60)

    task = spec("task", lambda: sleeps(), isolation=Isolation.THREAD, timeout=0.2, max_consecutive_failures=1)
    async with supervising(task) as (supervisor, seen):
        await until(is_stopped(supervisor, "task"), within=START)
    [failure] = seen.failures("task")
    assert "in sleeps" in failure.error_text


async def test_a_cancelled_run_leaves_no_coroutine_that_was_never_awaited() -> None:
    """The thread returns its coroutine after the run was cancelled."""
    let_go = threading.Event()

    def slow() -> Any:
        let_go.wait(10)
        return contextual.late()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = spec("task", slow, isolation=Isolation.THREAD, timeout=0.02, max_consecutive_failures=1)
        async with supervising(task, patience=30) as (supervisor, _):
            await until(lambda: supervisor.tasks[0].run is not None and bool(supervisor.tasks[0].run.reason))
            let_go.set()
            await until(is_stopped(supervisor, "task"))
        gc.collect()


async def test_an_awaitable_that_returns_itself_is_not_followed_for_ever() -> None:
    class Endless:
        def __await__(self) -> Generator[Any, None, Any]:
            yield from ()
            return self

    with pytest.raises(Exception, match="20 times"):
        await awaited(Endless())


# -- safe_background_task


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (contextual.decorated, "payouts are late for traced"),
        (contextual.partial, "payouts are late for nobody"),
        (contextual.called, "payouts are late for nobody"),
        (contextual.nested, "payouts are late for nobody"),
        (contextual.task_in_progress, "payouts are late for nobody"),
        (lambda: asyncio.create_task(contextual.late()), "payouts are late for nobody"),
        (contextual.generator, "it returned a generator, which nothing iterates"),
        (contextual.async_generator, "it returned an async generator, which nothing iterates"),
        (contextual.value, "bg must be an async function: it returned dict"),
    ],
)
async def test_a_background_task_awaits_what_it_gets(
    function: Callable[..., Any], text: str, logged: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await safe_background_task("bg", function, restart_delay=0, max_consecutive_failures=2)
        gc.collect()
    errors = [line for line in logged if line.startswith("Ошибка")]
    assert [line.partition(": ")[0] for line in errors] == [
        f"Ошибка в фоновой задаче bg (попытка {number}/2)" for number in (1, 2)
    ]
    assert all(line.partition(": ")[2].startswith(text) for line in errors)


# -- dozor check


def _plain_generator() -> Any:
    yield 1


async def _async_generator() -> Any:
    yield 1


@types.coroutine
def _awaitable_generator() -> Generator[Any, None, None]:
    yield


class _Generating:
    def __call__(self) -> Any:
        yield 1

    @classmethod
    def check(cls) -> Any:
        yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_plain_generator, "it holds a yield"),
        (_async_generator, "it holds a yield"),
        (contextual.traced(_plain_generator), "_plain_generator, which it wraps, holds a yield"),
        (contextual.traced(contextual.traced(_async_generator)), "_async_generator, which it wraps"),
        (contextual.managed, "managed, which it wraps, holds a yield"),
        (_Generating(), "_Generating.__call__, which it wraps, holds a yield"),
        (_Generating.check, "_Generating.check, which it wraps, holds a yield"),
    ],
)
def test_check_refuses_generators_behind_wrappers(function: Callable[..., Any], said: str) -> None:
    assert (check_kind(function) or "").startswith(said)


def test_check_accepts_what_runs() -> None:
    async def drains() -> None:
        async for _ in _async_generator():
            pass

    around = functools.wraps(_async_generator)(drains)
    usable = (_awaitable_generator, contextual.decorated, contextual.partial, contextual.called, around)
    assert [check_kind(function) for function in usable] == [None] * len(usable)
    assert may_be_async(contextual.decorated)
    assert not may_be_async(contextual.value)


class _Nameless:
    """`isinstance` of it raises, as it asks for `__class__`."""

    @property  # type: ignore[misc]  # object's can be assigned
    def __class__(self) -> type:
        raise SystemExit(5)

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(6)


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.THREAD])
async def test_a_result_that_refuses_every_question_is_dropped(isolation: Isolation) -> None:
    def returns() -> Any:
        return _Nameless()

    async def returns_inline() -> Any:
        return _Nameless()

    function = returns_inline if isolation is Isolation.INLINE else returns
    async with supervising(spec("returns", function, isolation=isolation)) as (_, seen):
        await until(lambda: seen.successes.get("returns", 0) >= 2)
    assert not seen.failures("returns")
