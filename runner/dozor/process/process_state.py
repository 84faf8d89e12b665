"""State of the process that any code in it can change, and without which the runner cannot work.

`ProcessState.mend` restores it. Nothing here is for an application that Dozor is embedded in.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

from dozor.process.forking import own_signal

_ENDING = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGPOLL", "SIGXCPU")
"""They end a process that has no handler for them. The runner has no use for them; a checker sends them to
itself (`signal.alarm`, `setitimer`), which is the process that runs all others as well."""
_NAMES = {
    getattr(resource, name): name
    for name in dir(resource)
    # RLIMIT_OFILE is another name of RLIMIT_NOFILE; to lower RLIMIT_CORE keeps secrets out of files.
    if name.startswith("RLIMIT_") and name not in ("RLIMIT_OFILE", "RLIMIT_CORE")
}


class ProcessState:
    """Of the process at the moment of construction. For the main thread, whose loop is `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._recursion = sys.getrecursionlimit()
        self._switching = sys.getswitchinterval()
        self._limits: dict[int, tuple[int, int]] = {}
        self.settle()
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._ignored: list[int] = []
        """Signals that came and that nobody handles, since the last `mend`."""
        self._ending = [number for name in _ENDING if (number := getattr(signal, name, None)) is not None]
        for number in self._ending:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._ignore(number)

    def settle(self) -> None:
        """The limits of resources that hold now are to stay: modules may have set them when imported."""
        self._limits = {limit: resource.getrlimit(limit) for limit in _NAMES}

    def mend(self) -> list[str]:
        """Restore what has been changed; what that was, in words."""
        # In this order: with a low limit of recursion nothing else works.
        return [*self._interpreter(), *self._signals(), *self._soft_limits()]

    def received(self) -> list[str]:
        """Names of signals that have come since the last call and that would have ended the process."""
        numbers, self._ignored = self._ignored, []
        return sorted({signal.Signals(number).name for number in numbers})

    def _ignore(self, number: int) -> None:
        # A function, not SIG_IGN: what a checker executes would inherit that.
        own_signal(number, lambda: signal.signal(number, self._noted))

    def _noted(self, number: int, frame: object) -> None:
        # Nothing is logged here: the log may be in the middle of a line.
        self._ignored.append(number)

    def _interpreter(self) -> Iterator[str]:
        if sys.getrecursionlimit() < self._recursion:
            sys.setrecursionlimit(self._recursion)
            yield "sys.setrecursionlimit"
        if sys.getswitchinterval() > self._switching:
            sys.setswitchinterval(self._switching)
            yield "sys.setswitchinterval"
        if getattr(sys, "excepthook", None) is None:  # no thread can be started
            sys.excepthook = sys.__excepthook__
            yield "sys.excepthook"

    def _signals(self) -> Iterator[str]:
        for number in self._ending:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._ignore(number)
        # A write to a connection that the other side has closed would end the process.
        if signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL:
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            yield "SIGPIPE"
        # Ignored, it takes the exit status of every child process away.
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            yield "SIGCHLD"
        waking = getattr(self._loop, "_csock", None)
        if waking is not None:
            with suppress(OSError, ValueError):  # somebody has closed it
                if signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False) != waking.fileno():
                    yield "signal.set_wakeup_fd"
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - self._blocked
        if blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            yield "signal.pthread_sigmask"

    def _soft_limits(self) -> Iterator[str]:
        for limit, (wanted, most) in self._limits.items():
            soft, hard = resource.getrlimit(limit)
            if soft == wanted and hard == most:
                continue
            lower = _below(soft, wanted)
            if lower:
                with suppress(OSError, ValueError):
                    resource.setrlimit(limit, (wanted if not _below(hard, wanted) else hard, hard))
            # A hard limit cannot be raised again: from here on it is the one that holds.
            self._limits[limit] = resource.getrlimit(limit)
            if lower:
                yield _NAMES[limit]


def _below(one: int, other: int) -> bool:
    """Of two limits, RLIM_INFINITY is the greatest."""
    if one == resource.RLIM_INFINITY:
        return False
    return other == resource.RLIM_INFINITY or one < other
