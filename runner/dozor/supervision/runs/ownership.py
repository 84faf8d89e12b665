"""Whose asyncio task, callback or thread something is: that of a run, or the runner's own.

Everything that a run starts on the loop inherits its context, and with it `CURRENT`. So an error in a task or
a callback can be attributed to the run that started it, what a run leaves behind can be counted, and a run
cannot cancel tasks that are not its own.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Any, Protocol, cast

from loguru import logger

from dozor.exceptions import bounded, line_of, tamed
from dozor.language import msg
from dozor.process.threads import current_run

MOST_NOTED = 20
"""Errors of one run, in its tasks, callbacks and threads, that are logged: a run may start thousands."""
_STEPS = 0x20 | 0x80 | 0x100  # CO_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE: see the module `inspect`


class StartedProcess(Protocol):
    """A process that a run has started."""

    @property
    def pid(self) -> int: ...

    @property
    def name(self) -> str: ...

    def runs(self) -> bool: ...


class LeftoverListener(Protocol):
    """Is called with what a run has left behind."""

    def look(self, scope: Scope) -> None:
        """The run of `scope` has ended. On the loop."""
        ...

    def failed_apart(self, name: str, error: BaseException) -> None:
        """`error` in something that a run of the task `name` started and did not wait for; the run is over.

        In any thread.
        """
        ...


class Scope:
    """One run, and what it has started."""

    __slots__ = ("broken", "ended", "listener", "name", "noted", "processes", "tasks", "threads")

    def __init__(self, name: str, listener: LeftoverListener) -> None:
        self.name = name
        self.ended = False
        """Set with the end of the run. A reference to the run would close a cycle: run, task, scope."""
        self.listener = listener
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self.threads = False
        """Whether the run has started any."""
        self.processes: list[StartedProcess] | None = None
        self.noted = 0
        """How many errors were noted."""
        self.broken: BaseException | None = None
        """The first error in a callback or a thread of the run while it goes on: then the run has failed."""

    def add(self, task: asyncio.Task[Any]) -> None:
        if self.tasks is None:
            self.tasks = weakref.WeakSet()
        self.tasks.add(task)

    def note(self, error: BaseException) -> None:
        """An error that nothing else retrieves."""
        error = tamed(error)
        self.noted += 1
        if self.noted > MOST_NOTED:
            return
        if self.ended:
            self.listener.failed_apart(self.name, error)
            return
        if self.broken is None:
            self.broken = error
        what = msg("log-part-failed", name=self.name, error=line_of(error))
        logger.bind(task=self.name).opt(exception=bounded(error)).error("{}", what)

    @property
    def has_started(self) -> bool:
        """Whether the run has started a task, a thread or a process."""
        return self.threads or self.tasks is not None or self.processes is not None

    def left_tasks(self) -> list[asyncio.Task[Any]]:
        """Tasks that the run has started and that go on. Errors of finished ones that nobody has asked for
        are noted."""
        if self.tasks is None:
            return []
        left = []
        for task in list(self.tasks):
            if not task.done():
                left.append(task)
            elif (error := unheard(task)) is not None:
                self.note(error)
        return left


CURRENT = cast("ContextVar[Scope | None]", current_run)


def unheard(task: asyncio.Task[Any]) -> BaseException | None:
    """The error of a task that is done, if nothing has retrieved it so far; then it counts as retrieved."""
    if task.cancelled() or not getattr(task, "_log_traceback", False):
        return None
    return task.exception()


class ScopedTask(asyncio.Task[Any]):
    """A task that remembers which run has started it; None: the runner.

    Clean-up code of libraries cancels `asyncio.all_tasks()`, and means its own: a run cannot cancel a task of
    the runner, nor one that another checker's run in progress has started. What an ended run has left behind
    is anybody's, such as the background tasks of a client that checkers share.
    """

    __slots__ = ("scope",)

    scope: Scope | None
    """Set by whoever makes the task, in the same turn: an `__init__` would cost every run."""

    def cancel(self, msg: Any | None = None) -> bool:
        caller = CURRENT.get()
        if caller is None or self._may_be_cancelled_by(caller):
            return super().cancel(msg)
        _refused(caller)
        return False

    def _may_be_cancelled_by(self, caller: Scope) -> bool:
        return self.scope is not None and (caller.name == self.scope.name or self.scope.ended)


class OwnTask(ScopedTask):
    """A task of the runner: one of its parts, or that which carries out a run. Only its run may cancel it."""

    __slots__ = ()

    def _may_be_cancelled_by(self, caller: Scope) -> bool:
        return caller is self.scope


def _refused(caller: Scope) -> None:
    logger.bind(task=caller.name).debug("{}", msg("log-foreign-cancel", name=caller.name))


def own_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Attribute tasks and unretrieved errors of `loop` to runs. The whole loop must be Dozor's."""
    loop.set_task_factory(_create)  # type: ignore[arg-type]  # typeshed knows a protocol only
    loop.set_exception_handler(_unhandled)


def _create(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    context: Context | None = options.get("context")
    scope = CURRENT.get() if context is None else context.get(CURRENT)
    if scope is None:
        own = OwnTask(coro, loop=loop, **options)
        own.scope = None
        return own
    task = ScopedTask(coro, loop=loop, **options)
    task.scope = scope
    scope.add(task)
    return task


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler: a callback raised, or a task that nobody waits for."""
    error = context.get("exception")
    scope = _scope_of_handle(context.get("handle"))
    if scope is None:
        scope = getattr(context.get("task") or context.get("future"), "scope", None)
    if isinstance(error, BaseException):
        if scope is not None:
            scope.note(error)
            return
        context = {**context, "exception": bounded(tamed(error))}
    loop.default_exception_handler(context)


def _scope_of_handle(handle: Any) -> Scope | None:
    context = getattr(handle, "_context", None)
    return context.get(CURRENT) if isinstance(context, Context) else None


def scope_of_escape(error: BaseException) -> tuple[Scope | None, bool]:
    """The run in whose callback or task `error` was raised, and whether it was a step of a task.

    asyncio lets SystemExit and KeyboardInterrupt of any task and any callback out of the loop.
    """
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code is asyncio.Handle._run.__code__:
            following = trace.tb_next
            step = following is not None and bool(following.tb_frame.f_code.co_flags & _STEPS)
            return _scope_of_handle(frame.f_locals.get("self")), step
        trace = trace.tb_next
    return None, False


# -- threads

_threads: weakref.WeakKeyDictionary[threading.Thread, Scope] = weakref.WeakKeyDictionary()
_start = threading.Thread.start


def own_threads() -> None:
    """Have threads that runs start attributed, and their errors logged as any other. For a process of ours.

    A thread does not inherit the context of whoever starts it, and there is no hook for its start.
    """
    threading.Thread.start = _attributed_start  # type: ignore[method-assign, assignment]
    threading.excepthook = _died


def keep_excepthook() -> None:
    """A library may have replaced `threading.excepthook`: its hook is called after ours."""
    theirs: Any = threading.excepthook
    if theirs is _died or getattr(theirs, "follows", None) is _died:
        return
    if theirs is None:  # no thread can be started
        threading.excepthook = _died
        return

    def both(args: threading.ExceptHookArgs) -> None:
        _died(args)
        _reporting.now = True  # it may call the hook that it has replaced, which is ours
        try:
            theirs(args)
        finally:
            _reporting.now = False

    both.follows = _died  # type: ignore[attr-defined]
    threading.excepthook = both


class _Reporting(threading.local):
    now = False


_reporting = _Reporting()
"""Whether the hook of a library is being called in this thread."""


def _attributed_start(thread: threading.Thread) -> None:
    scope = CURRENT.get()
    # Workers of a pool serve whoever comes.
    if scope is not None and getattr(_target(thread), "__module__", "") != "concurrent.futures.thread":
        _threads[thread] = scope
        scope.threads = True
    _start(thread)


def _target(thread: threading.Thread) -> Any:
    return getattr(thread, "_target", None)


def threads_of(scope: Scope) -> list[threading.Thread]:
    """Threads that the run has started and that go on."""
    if not scope.threads:
        return []
    return [thread for thread, its in list(_threads.items()) if its is scope and thread.is_alive()]


def task_here() -> str | None:
    """The task to whose run this code belongs, also in threads started by the run; None: the runner's."""
    scope = CURRENT.get() or _threads.get(threading.current_thread())
    return None if scope is None else scope.name


def _died(args: threading.ExceptHookArgs) -> None:
    """An exception has ended a thread."""
    error, thread = args.exc_value, args.thread
    if error is None or isinstance(error, SystemExit) or _reporting.now:
        return
    scope = None if thread is None else _threads.get(thread)
    if scope is not None:
        scope.note(error)
        return
    name = "" if thread is None else thread.name
    what = msg("log-thread-died", name=name, error=line_of(error))
    logger.opt(exception=bounded(tamed(error))).error("{}", what)
