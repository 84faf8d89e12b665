"""`safe_background_task`: one supervised coroutine, with nothing but this package installed."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

from dozor.clean_context import CleanContext
from dozor.exceptions import release, tamed
from dozor.language.names import Language
from dozor.supervision.core.events import Failed, Succeeded
from dozor.supervision.core.machine import step
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.failure import describe
from dozor.supervision.runs.results import awaited, may_need_awaiting
from dozor.supervision.telemetry.log import SupervisionLog

_T = TypeVar("_T")


async def safe_background_task(
    task_name: str,
    task_func: Callable[[], Awaitable[object]],
    restart_delay: float = 60,
    max_consecutive_failures: int = 5,
    *,
    language: Language | str = Language.RU,
) -> None:
    """Run `task_func` again and again; return after `max_consecutive_failures` failures in a row.

    A normal return is a success: the streak resets and the task runs again after `restart_delay`
    seconds. Whatever it raises is a failure, `SystemExit` and a `CancelledError` of a library's own
    included, and so is a result that is no awaitable. Cancelling this coroutine cancels the run and ends it.
    Each run gets a copy of the caller's context: what it sets in ContextVars, or in the decimal context, is
    seen by no other run and not by the caller.

    The log lines are in `language`, `ru` or `en`.

    Raises `TypeError` for a `task_func` that is not callable, `ValueError` for a negative delay, a limit
    below 1 or another language.
    """
    if not callable(task_func):
        raise TypeError(f"task_func must be an async function, not {task_func!r}")
    if restart_delay < 0:
        raise ValueError(f"restart_delay must not be negative, it is {restart_delay}")
    if max_consecutive_failures < 1:
        raise ValueError(f"max_consecutive_failures must be at least 1, it is {max_consecutive_failures}")

    log = SupervisionLog(Language(language))
    loop = asyncio.get_running_loop()
    policy = Policy(
        restart_delay=RestartDelay.fixed(restart_delay), max_consecutive_failures=max_consecutive_failures
    )
    task = TaskState()
    contexts = CleanContext()
    while True:
        log.starting(task_name)
        try:
            error = await _in_context(contexts.fresh(), _outcome(task_name, task_func))
            if error is None:
                task, _ = step(policy, task, Succeeded(), loop.time())
            else:
                task, _ = step(policy, task, Failed(describe(error, str)), loop.time())
                log.failed(task_name, task.failures, max_consecutive_failures, error)
                release(error)
                error = None
                if task.state is State.STOPPED:
                    log.stopped(task_name, task.failures)
                    return
                log.restarting(task_name, restart_delay)
            await asyncio.sleep(restart_delay)
        except asyncio.CancelledError:
            log.cancelled(task_name)
            raise


async def _outcome(task_name: str, task_func: Callable[[], Awaitable[object]]) -> BaseException | None:
    """What the run raised, None if it returned; raises only `CancelledError`, and only for our own."""
    try:
        result: Any = task_func()
        if not may_need_awaiting(result):
            raise TypeError(f"{task_name} must be an async function: it returned {type(result).__name__}")
        await awaited(result)
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        if _asked_to_end():
            raise
        return error
    except BaseException as error:  # noqa: BLE001 -- the supervision border: the caller records it
        _end_if_asked(error)
        return tamed(error)
    _end_if_asked(None)
    return None


def _asked_to_end() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _end_if_asked(error: BaseException | None) -> None:
    """A run that swallowed our cancellation, or made another error of it, must not go on for ever."""
    if _asked_to_end():
        raise asyncio.CancelledError from error


@types.coroutine
def _in_context(context: Context, work: Coroutine[Any, Any, _T]) -> Generator[Any, Any, _T]:
    """Await `work` with each of its steps in `context`.

    Not in a task of its own: a run may cancel the current task, or all the others, and means this one.
    """
    step: Callable[[Any], Any] = work.send
    given: Any = None
    while True:
        try:
            waits_for = context.run(step, given)
        except StopIteration as end:
            result: _T = end.value
            return result
        finally:
            given = None  # an exception here would refer to this frame, and the frame to the exception
        step = work.send
        try:
            given = yield waits_for
        except BaseException as error:  # noqa: BLE001 -- thrown into `work` at once
            step, given = work.throw, error
