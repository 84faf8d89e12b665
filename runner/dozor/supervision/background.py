"""`safe_background_task`: one supervised coroutine, with nothing but this package installed."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.exceptions import bounded, release, tamed
from dozor.language import msg
from dozor.language.names import Language
from dozor.supervision.core.events import Failed, Succeeded
from dozor.supervision.core.machine import step
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.failures.failure import describe
from dozor.supervision.runs.results import awaited, may_need_awaiting
from dozor.supervision.telemetry.log import SupervisionLog

_T = TypeVar("_T")

REPEATED_ERRORS = 3
"""Failures in a row that make a `RepeatedErrors`, as `alerts.repeated_errors` of a configuration."""
ALERT_SECONDS = 5.0
"""How long `alerts` is awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundAlert:
    """What `alerts` of `safe_background_task` is given.

    `failures` in a row, of at most `limit`. `error`: the last one.
    """

    task: str
    failures: int
    limit: int
    error: BaseException


class _Facts(TypedDict):
    """The fields of a `BackgroundAlert`."""

    task: str
    failures: int
    limit: int
    error: BaseException


class RepeatedErrors(BackgroundAlert):
    """The third failure in a row, once per streak; the task goes on. Not before a limit of 3 or less."""


class CriticalStop(BackgroundAlert):
    """As many failures as the limit: the task has ended and does not start again by itself."""


class Recovery(BackgroundAlert):
    """The first success after a `RepeatedErrors`. `failures` and `error`: of the streak that is over."""


AlertSink = Callable[[BackgroundAlert], Awaitable[object]]


async def safe_background_task(
    task_name: str,
    task_func: Callable[[], Awaitable[object]],
    restart_delay: float = 60,
    max_consecutive_failures: int = 5,
    *,
    language: Language | str = Language.RU,
    alerts: AlertSink | None = None,
) -> None:
    """Run `task_func` again and again; return after `max_consecutive_failures` failures in a row.

    A normal return is a success: the streak resets and the task runs again after `restart_delay`
    seconds. Whatever it raises is a failure, `SystemExit` and a `CancelledError` of a library's own
    included, and so is a result that is no awaitable. Cancelling this coroutine cancels the run and ends it.
    Each run gets a copy of the caller's context: what it sets in ContextVars, or in the decimal context, is
    seen by no other run and not by the caller.

    The log lines are in `language`, `ru` or `en`.

    `alerts`, such as `TelegramAlert(token, chat)`, is called with `RepeatedErrors`, `CriticalStop` and
    `Recovery` after their log lines, and awaited for at most 5 s. Whatever it raises is logged and changes
    nothing; the time that it takes counts towards the delay before the next run.

    Raises `TypeError` for a `task_func` or `alerts` that is not callable, `ValueError` for a negative delay,
    a limit below 1 or another language.
    """
    if not callable(task_func):
        raise TypeError(f"task_func must be an async function, not {task_func!r}")
    if alerts is not None and not callable(alerts):
        raise TypeError(f"alerts must be an async function, not {alerts!r}")
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
    told: BackgroundAlert | None = None
    while True:
        log.starting(task_name)
        try:
            error = await _in_context(contexts.fresh(), _outcome(task_name, task_func))
            pause: float = restart_delay
            alert: BackgroundAlert | None = None
            if error is None:
                task, _ = step(policy, task, Succeeded(), loop.time())
                if told is not None:
                    alert = Recovery(
                        task=task_name, failures=told.failures, limit=told.limit, error=told.error
                    )
                told = None
            else:
                task, _ = step(policy, task, Failed(describe(error, str)), loop.time())
                log.failed(task_name, task.failures, max_consecutive_failures, error)
                facts = _Facts(
                    task=task_name, failures=task.failures, limit=max_consecutive_failures, error=error
                )
                if task.state is State.STOPPED:
                    log.stopped(task_name, task.failures)
                    await _alert(alerts, CriticalStop(**facts))
                    return
                log.restarting(task_name, restart_delay)
                if told is not None:
                    told = RepeatedErrors(**facts)
                elif task.failures == REPEATED_ERRORS:
                    told = alert = RepeatedErrors(**facts)
            if alert is not None and alerts is not None:
                began = loop.time()
                await _alert(alerts, alert)
                pause = max(0.0, restart_delay - (loop.time() - began))
            if error is not None:
                release(error)
                error = None
            await asyncio.sleep(pause)
        except asyncio.CancelledError:
            log.cancelled(task_name)
            raise


async def _alert(alerts: AlertSink | None, alert: BackgroundAlert) -> None:
    """Give `alert` to `alerts` and wait, at most `ALERT_SECONDS`. Raises only our own CancelledError."""
    if alerts is None:
        return
    sending = asyncio.create_task(_send(alerts, alert), name=f"alert of {alert.task}")
    try:
        done, _ = await asyncio.wait((sending,), timeout=ALERT_SECONDS)
    except asyncio.CancelledError:
        sending.cancel()
        raise
    if not done:
        sending.cancel()  # not awaited: it may ignore this
        logger.opt(capture=False).bind(task=alert.task).error(
            msg("log-background-alert-slow", name=alert.task, seconds=f"{ALERT_SECONDS:.0f}")
        )


async def _send(alerts: AlertSink, alert: BackgroundAlert) -> None:
    try:
        result: Any = alerts(alert)
        if may_need_awaiting(result):
            await awaited(result)
    except (GeneratorExit, asyncio.CancelledError):
        raise
    except BaseException as error:  # noqa: BLE001 -- the border to the user's code: it fails no task
        logger.opt(exception=bounded(tamed(error)), capture=False).bind(task=alert.task).error(
            msg("log-background-alert-failed", name=alert.task, error=type(error).__name__)
        )


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
    """A run that suppressed our cancellation, or raised another error instead, must not go on without end."""
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
