"""A kernel timer that sends this process a signal, SIGKILL as a rule, at a time of CLOCK_BOOTTIME (Linux).

The kernel delivers it although the process is stopped (SIGSTOP), its event loop is blocked or a thread holds
the GIL. It is a POSIX timer (timer_create(2)): unlike `signal.setitimer` it is not the one timer that
`signal.alarm` and pytest-timeout use, and its signal cannot be caught. A forked child does not inherit it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

AVAILABLE = sys.platform == "linux"

_CLOCK_BOOTTIME = 7  # linux/time.h
_SIGEV_SIGNAL = 0  # bits/sigevent-consts.h
_TIMER_ABSTIME = 1  # linux/time.h


class _Sigevent(ctypes.Structure):
    """struct sigevent of 64 bytes, of which only these members matter."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def boottime() -> float:
    """Seconds since the boot, those of a suspended machine included; nobody sets this clock.

    Elsewhere than on Linux: the monotonic clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class DeadlineTimer:
    """Ends the process at the time it was last set to. Raises OSError where there is no such timer.

    `number`: the signal; another one than SIGKILL does not reach a stopped process.
    """

    def __init__(self, number: signal.Signals = signal.SIGKILL) -> None:
        if not AVAILABLE:
            raise OSError("timers on CLOCK_BOOTTIME exist on Linux only")
        self._libc = _libc()
        self._id = ctypes.c_void_p()
        event = _Sigevent(signo=number, notify=_SIGEV_SIGNAL)
        if self._libc.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._id)):
            self._raise()

    def end_at(self, at: float) -> None:
        """`at`: by `boottime()`, seconds; a time that has passed ends the process at once."""
        nanoseconds = max(1, int(at * 1e9))
        self._set(_Timespec(nanoseconds // 10**9, nanoseconds % 10**9))

    def disarm(self) -> None:
        """The process may live on; `end_at` arms it again."""
        self._set(_Timespec(0, 0))

    def _set(self, value: _Timespec) -> None:
        spec = _Itimerspec(_Timespec(0, 0), value)
        if self._libc.timer_settime(self._id, _TIMER_ABSTIME, ctypes.byref(spec), None):
            self._raise()

    def _raise(self) -> None:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _libc() -> ctypes.CDLL:
    """The C library itself.

    A preloaded library may replace the functions for the whole process: libfaketime, with which people try a
    wrong wall clock, moves the times of every clock, and a timer on CLOCK_BOOTTIME ended the process at once.
    """
    try:
        found = ctypes.CDLL("libc.so.6", use_errno=True)
    except OSError:  # another C library than glibc
        return ctypes.CDLL(None, use_errno=True)
    # Before glibc 2.34 timers are in librt.
    return found if hasattr(found, "timer_settime") else ctypes.CDLL(None, use_errno=True)


def is_init() -> bool:
    """Is this process PID 1 of its namespace? The kernel keeps signals from it that it sends to itself."""
    return os.getpid() == 1
