"""What a forked child process must not share with the process it was forked from.

`multiprocessing` with the start method fork, `os.fork` and `subprocess` with a `preexec_fn` copy the whole
process: signal handlers, the descriptor that wakes the event loop for a signal, open sockets. A SIGTERM for
the child would then reach the parent's event loop, and a session of the database (with its advisory lock)
would stay open for as long as the child lives.

Everything here concerns only what was registered by `own`, `own_loop` and `own_signal`. An application that
Dozor is embedded in keeps its handlers and descriptors in its forked children.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

_DEFAULTS = {signal.SIGINT: signal.default_int_handler}
_UNTOUCHED = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)

generation = 0
"""How many forks lie between the first process and this one. A caller that finds another number than before
is in a forked child."""


class _Masks(threading.local):
    """The signal mask of a thread before it began to fork."""

    before: set[int] | None = None


_owners: WeakKeyDictionary[Any, Callable[[Any], Iterable[int]]] = WeakKeyDictionary()
_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
_signals: dict[int, tuple[object, object]] = {}
_masks = _Masks()
_kept: list[object] = []
"""Callbacks that a forked child does not run. Dropped, they would unwind coroutines of the parent's tasks."""


class OwnedDescriptors:
    """What `current` returns is closed in forked children, for as long as this object lives.

    For bare descriptors, such as that of a lock file, and for objects that `own` cannot refer to weakly.
    """

    def __init__(self, current: Callable[[], Iterable[int]]) -> None:
        self.current = current
        self.released = False
        own(self, lambda owner: owner.current())

    def release(self) -> None:
        """Call it before a bare descriptor is closed: its number may be given out again."""
        self.released = True
        disown(self)


def own(owner: Any, descriptors: Callable[[Any], Iterable[int]]) -> None:
    """Close `descriptors(owner)` in every forked child, for as long as `owner` lives.

    `descriptors` must not refer to `owner`; numbers below 0 are skipped (a closed socket says -1).
    """
    _owners[owner] = descriptors


def disown(owner: Any) -> None:
    _owners.pop(owner, None)


def own_loop(loop: asyncio.AbstractEventLoop) -> None:
    """`loop`, run by the calling thread, is ours as a whole: it must not go on in a forked child.

    Its selector is shared with the child by the kernel, so that a child that closes a transport would stop
    the parent from hearing of that socket.
    """
    _loops[loop] = threading.get_ident()
    own(loop, _loop_descriptors)


def own_signal(number: int, install: Callable[[], object]) -> None:
    """`install` a handler of ours for the signal; forked children get back the one that was there before.

    A handler of `asyncio.Runner`, which belongs to our loop, counts as none.
    """
    before: object = signal.getsignal(number)
    if number in _signals and before is _signals[number][0]:
        before = _signals[number][1]
    elif before not in _UNTOUCHED:
        asyncio_s_own = getattr(getattr(before, "func", None), "__module__", "") == "asyncio.runners"
        if asyncio_s_own or before is None:
            before = _DEFAULTS.get(signal.Signals(number), signal.SIG_DFL)
    install()
    _signals[number] = (signal.getsignal(number), before)


def end_if_forked(since: int, error: BaseException | None) -> None:
    """End this process if it was forked since `generation` was `since`.

    A child that comes back from a checker would otherwise go on as a second runner. The exit code is that
    of `SystemExit`, 1 for another error, 0 for none.
    """
    if generation == since:
        return
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        with suppress(OSError, ValueError):
            traceback.print_exception(error)
    _end(code)


def _loop_descriptors(loop: asyncio.AbstractEventLoop) -> Iterable[int]:
    """The selector and the pair of sockets by which other threads and signals wake the loop."""
    for name in ("_selector", "_ssock", "_csock"):
        part = getattr(loop, name, None)
        if part is not None:
            with suppress(ValueError):
                yield part.fileno()


def _before() -> None:
    """Hold signals back: one for the child must not come before its handlers are its own."""
    if _signals:
        _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals)


def _after_in_parent() -> None:
    mask, _masks.before = _masks.before, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_in_child() -> None:
    global generation
    generation += 1
    descriptors = set(_owned_descriptors())
    for number, (ours, before) in _signals.items():
        if signal.getsignal(number) == ours:
            signal.signal(number, before)  # type: ignore[arg-type]
    if _loops:
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup >= 0 and wakeup not in descriptors:
            signal.set_wakeup_fd(wakeup)
    _close(descriptors)
    for loop, thread in list(_loops.items()):
        if thread == threading.get_ident():
            _end_at_return_to(loop)
    _owners.clear()
    _loops.clear()
    _signals.clear()
    _after_in_parent()


def _owned_descriptors() -> Iterable[int]:
    for owner, descriptors in list(_owners.items()):
        try:
            yield from [number for number in descriptors(owner) if number >= 0]
        except Exception:  # noqa: BLE001, S112 -- one that is half closed must not keep the others open
            continue


def _close(descriptors: Iterable[int]) -> None:
    """Put /dev/null in their place: objects that still hold a number cannot close somebody else's later.

    Nothing is written to what is closed: the parent's session goes on.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in descriptors:
            with suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
    finally:
        os.close(nothing)


def _end_at_return_to(loop: asyncio.AbstractEventLoop) -> None:
    """This thread is inside a step of `loop`. When the step is over the process ends, before any other."""
    ready = getattr(loop, "_ready", None)
    if ready is not None:
        _kept.extend(ready)
        ready.clear()
    loop.call_soon(_end, 1)


def _end(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
