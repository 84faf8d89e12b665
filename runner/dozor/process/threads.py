"""Threads of Dozor's own work, apart from those of `asyncio.to_thread` in checkers.

The default executor of a loop has a few threads for everybody: `asyncio.to_thread`,
`run_in_executor(None, …)` and every name look-up. Checkers that never give theirs back stop
all of these.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Named(Protocol):
    """A run of a checker: the name of its task."""

    name: str


current_run: contextvars.ContextVar[Named | None] = contextvars.ContextVar("dozor_run", default=None)
"""The run to which this context belongs; None: the runner's own work."""

THREADS_OF_A_CHECKER = 32
THREADS_OF_OURS = 64
IDLE_SECONDS = 10.0
"""How long a thread waits for the next call before it ends."""
SHUTDOWN_SECONDS = 1.0
"""How long `shutdown` waits for calls in progress."""
IDLE = "dozor idle"
"""Name of a thread that waits for a call."""


async def in_own_thread(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """As `asyncio.to_thread`, in a daemon thread of its own: it never waits for a free one.

    For our own work, also on the loop of an application, whose default executor its code may have used up.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(error: BaseException | None, result: Any) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def body() -> None:
        error: BaseException | None = None
        result: Any = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as caught:  # noqa: BLE001 -- raised by the `await`
            error = caught
        try:
            loop.call_soon_threadsafe(settle, error, result)
        except RuntimeError:
            return  # the loop has closed: nobody waits

    name = getattr(function, "__name__", "call")
    threading.Thread(target=body, name=f"dozor {name}", daemon=True).start()
    return await done


class CheckerThreads(ThreadPoolExecutor):
    """The default executor of the runner's loop: a bounded share of threads for each checker, and one for us.

    Its threads are daemons, so that the interpreter does not wait for them at its end. (A subclass of
    ThreadPoolExecutor because `loop.set_default_executor` takes nothing else; none of its threads is used.)
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._guard = threading.Lock()
        self._shares: dict[str | None, _Share] = {}
        self._closed = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Raises RuntimeError after `shutdown`."""
        run = current_run.get()
        owner = None if run is None else run.name
        with self._guard:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            share = self._shares.get(owner)
            if share is None:
                most = THREADS_OF_OURS if owner is None else THREADS_OF_A_CHECKER
                name = "dozor work" if owner is None else f"a thread of {owner}"
                share = self._shares[owner] = _Share(name, most)
        future: Future[_T] = Future()
        share.add(_Call(future, fn, args, kwargs))
        return future

    def busy(self) -> list[str]:
        """Checkers of whose threads some still run."""
        with self._guard:
            return [owner for owner, share in self._shares.items() if owner is not None and share.busy]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Waits for those in progress, but not for longer than `SHUTDOWN_SECONDS`."""
        with self._guard:
            self._closed = True
            shares = list(self._shares.values())
        if cancel_futures:
            for share in shares:
                share.cancel()
        until = time.monotonic() + SHUTDOWN_SECONDS
        while wait and any(share.busy for share in shares) and time.monotonic() < until:
            time.sleep(0.01)  # noqa: TID251 -- called in a thread of asyncio's, or at the end of the process


class _Call:
    __slots__ = ("args", "fn", "future", "kwargs")

    def __init__(self, future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.future = future
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def carry_out(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.fn(*self.args, **self.kwargs)
        except BaseException as error:  # noqa: BLE001 -- handed to whoever waits for the future
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class _Share:
    """At most `most` daemon threads, started as they are needed."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()
        self._calls: deque[_Call] = deque()
        self._threads = 0
        self._idle = 0

    @property
    def busy(self) -> int:
        return self._threads - self._idle

    def add(self, call: _Call) -> None:
        with self._changed:
            self._calls.append(call)
            if self._idle >= len(self._calls):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def cancel(self) -> None:
        """Calls that have not begun."""
        with self._changed:
            for call in self._calls:
                call.future.cancel()
            self._calls.clear()

    def _work(self) -> None:
        thread = threading.current_thread()
        while True:
            with self._changed:
                if not self._calls:
                    self._idle += 1
                    thread.name = IDLE
                    self._changed.wait_for(lambda: bool(self._calls), IDLE_SECONDS)
                    self._idle -= 1
                if not self._calls:
                    self._threads -= 1
                    return
                thread.name = self._name
                call = self._calls.popleft()
            call.carry_out()
            del call
