"""One run of a task: its data while it is in progress."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from dozor.exceptions import compose_texts, release, tamed
from dozor.process import forking
from dozor.supervision.runs.results import awaited, discard, may_need_awaiting


class StopReason(StrEnum):
    """Why we want a run to end."""

    ASKED = "asked"
    """Shutdown, pause, restart."""
    TIMED_OUT = "timed_out"
    SILENT = "silent"
    """No heartbeat for longer than its limit."""


class Stopping:
    """`ctx.stopping`: true when the run should come to an end. Usable from a loop and from a thread."""

    __slots__ = ("_loop", "_set", "_waiters")

    def __init__(self) -> None:
        self._set = threading.Event()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def is_set(self) -> bool:
        return self._set.is_set()

    def __bool__(self) -> bool:
        return self._set.is_set()

    def set(self) -> None:
        self._set.set()
        for loop, waiter in self._waiters:
            loop.call_soon_threadsafe(_wake, waiter)
        self._waiters.clear()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until set, at most `timeout` seconds; whether it is set. A pause that ends early."""
        if self._set.is_set():
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        entry = (loop, waiter)
        self._waiters.append(entry)
        try:
            await asyncio.wait_for(waiter, timeout)
        except TimeoutError:
            return self._set.is_set()
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)
        return True


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Run:
    """A run in progress. `number` counts runs of this process."""

    __slots__ = (
        "_stopping",
        "abandoned",
        "attempt",
        "cancelling",
        "due_at",
        "ended",
        "escalation",
        "heartbeat_at",
        "hung_at",
        "in_process",
        "number",
        "reason",
        "remote",
        "started_at",
        "task",
        "thread",
        "used_database",
    )

    def __init__(self, number: int, due_at: float, started_at: float, attempt: int) -> None:
        self.number = number
        self.due_at = due_at
        self.started_at = started_at
        self.attempt = attempt
        self.task: asyncio.Task[None] | None = None
        self.reason: StopReason | None = None
        self.cancelling: asyncio.TimerHandle | None = None
        self.escalation: asyncio.TimerHandle | None = None
        """What follows if a cancellation is ignored."""
        self.heartbeat_at = started_at
        self.thread: int | None = None
        """The thread it runs in, where it has one of its own."""
        self.hung_at: tuple[str, ...] = ()
        """Where it was when it took too long: see `dozor.supervision.runs.failures.stacks`."""
        self.in_process = False
        self.remote: str | None = None
        """Its id, where a worker carries it out, or this process carries it out as one."""
        self.abandoned = False
        """It ignored its cancellation, and this was reported."""
        self.ended = False
        self.used_database = False
        self._stopping: Stopping | None = None

    @property
    def stopping(self) -> Stopping:
        if self._stopping is None:
            self._stopping = Stopping()
            if self.reason is not None:
                self._stopping.set()
        return self._stopping

    def ask_to_stop(self, reason: StopReason) -> None:
        """Set `ctx.stopping`, also for a checker that reads it only later."""
        if self.reason is None:
            self.reason = reason
        if self._stopping is not None:
            self._stopping.set()

    def cancel(self, reason: StopReason) -> None:
        self.ask_to_stop(reason)
        self.reason = reason
        if self.task is not None:
            self.task.cancel()


async def call_in_thread(function: Callable[..., Any], arguments: dict[str, Any], run: Run) -> None:
    """Call `function` in a daemon thread of its own and wait for it; `run` remembers which.

    The thread has a copy of the caller's context. If the function returns an awaitable, as an async function
    behind a plain decorator does, it is awaited on the loop, with the variables that the thread has set.
    A thread cannot be cancelled: a cancellation is remembered, and raised when the thread has ended, so that
    a task never runs twice at once.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[BaseException | None, Any]] = loop.create_future()
    context = contextvars.copy_context()
    forks = forking.generation

    def settle(error: BaseException | None, result: Any) -> None:
        if done.done():
            discard(result)
        else:
            # Not set_exception: a future keeps the traceback, whose frames refer to the future.
            done.set_result((error, result))

    def body() -> None:
        error: BaseException | None = None
        result: Any = None
        run.thread = threading.get_ident()
        try:
            result = context.run(function, **arguments)
        except BaseException as caught:  # noqa: BLE001 -- handed to the loop, which records it
            error = tamed(caught)
            compose_texts(error)
        forking.end_if_forked(forks, error)
        if not may_need_awaiting(result):
            result = None
        try:
            loop.call_soon_threadsafe(settle, error, result)
        except RuntimeError:
            discard(result)  # the loop has closed: the process is ending and nobody waits
        error = result = None  # the error's traceback refers to this frame

    thread = threading.Thread(target=body, name=f"checker {getattr(function, '__name__', '')}", daemon=True)
    contextvars.Context().run(thread.start)  # it is the runner's: see `ownership`
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as asked:
            if done.done() and not done.cancelled():
                break
            cancelled = asked
    error, result = (None, None) if done.cancelled() else done.result()
    if cancelled is not None:
        discard(result)
        if error is not None:
            release(error)
            error = None
        try:
            raise cancelled
        finally:
            cancelled = None  # here and below: the traceback refers to this frame
    if error is not None:
        try:
            raise _raisable(error)
        finally:
            error = None
    if result is not None:
        run.thread = None  # from here on the run is where its task is
        _adopt(context)
        await awaited(result)


def _adopt(context: contextvars.Context) -> None:
    """Take over what was set in `context`, a copy of the present one."""
    present = contextvars.copy_context()
    for variable, value in context.items():
        if variable not in present or present[variable] is not value:
            variable.set(value)


def _raisable(error: BaseException) -> BaseException:
    """A future refuses StopIteration: wrap it in another error, the cause kept."""
    if isinstance(error, StopIteration):
        wrapped = RuntimeError("checker raised StopIteration")
        wrapped.__cause__ = error
        return wrapped
    return error
