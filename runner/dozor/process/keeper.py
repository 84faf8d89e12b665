"""The process between the runner and a child process that runs somebody's code (Linux).

    runner ──▶ keeper ──▶ child ──▶ whatever the child starts

The keeper is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): a process whose parent has ended becomes its
child, also after setsid(2), a double fork or a cleared environment. When the child has ended, however it
ended, the keeper kills all that is left and ends as the child did: with its exit code, or by its signal.
SIGTERM to the keeper kills the child first. The keeper gets that signal when the runner is killed as well,
and by its own timer at the deadline that the runner moves (see `dozor.process.child_deadlines`).

It holds no pipe of the child, imports only the standard library, and runs none of the child's code. On
other systems there is no keeper: the child runs directly, and only its process group is killed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from dozor.process.child_deadlines import MESSAGE
from dozor.process.deadline_timer import DeadlineTimer

BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from dozor.process.keeper import main; "
    "main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])"
)
"""For `python -c`: the folder that holds `dozor`, "module:function", the runner's pid, the descriptor of
deadlines or `NO_DEADLINES`, arguments. Not `-m`: the folder we happen to stand in must not come before the
installed packages."""
NO_DEADLINES = -1
KILL_SECONDS = 0.8
"""How long the keeper waits for killed processes: one in an uninterruptible system call does not end."""
AVAILABLE = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def main(target: str, runner_pid: int, deadlines: int, arguments: list[str]) -> None:
    """Keep a child that calls `target` with `arguments`; `runner_pid` is this process's parent.

    `deadlines`: the reading end of a pipe with messages of `dozor.process.child_deadlines`.
    """
    if not AVAILABLE:
        _end_unless_child_of(runner_pid)
        _call(target, arguments)
        return
    # The loop of the runner is the parent, so the signal comes at its end at the latest.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _end_unless_child_of(runner_pid)
    keeper = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    child = os.fork()
    if child == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _end_unless_child_of(keeper)
        os.setsid()  # `kill(0, …)` in the child does not reach the keeper
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        if deadlines != NO_DEADLINES:
            os.close(deadlines)
        _call(target, arguments)
        return
    _keep(child, deadlines)


def _keep(child: int, deadlines: int) -> None:
    def end(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    _prctl_name(b"dozor:keeper")
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    highest = _highest_descriptor()
    os.closerange(3, max(3, deadlines))
    os.closerange(max(3, deadlines + 1), highest + 1)
    woken, waking = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    timers = _Timers(deadlines)
    while (status := _reap_until(child)) is None:
        ready, _, _ = select.select([woken, *timers.descriptors], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if deadlines in ready:
            timers.follow()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kill_children()
    _end_as(status)


class _Timers:
    """Kernel timers of the keeper, moved by the messages of the runner. None without `deadlines`."""

    def __init__(self, deadlines: int) -> None:
        self.descriptors = [] if deadlines == NO_DEADLINES else [deadlines]
        self._soft: DeadlineTimer | None = None
        self._hard: DeadlineTimer | None = None
        if self.descriptors:
            self._soft, self._hard = DeadlineTimer(signal.SIGTERM), DeadlineTimer()

    def follow(self) -> None:
        """Set the timers to the latest deadline. The runner's end leaves them as they are."""
        (deadlines,) = self.descriptors
        data = os.read(deadlines, 256 * MESSAGE.size)
        if not data:
            self.descriptors = []
            return
        for timer, at in zip((self._soft, self._hard), MESSAGE.unpack(data[-MESSAGE.size :]), strict=True):
            assert timer is not None
            if at > 0:
                timer.end_at(at)
            else:
                timer.disarm()


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it."""


def _reap_until(child: int) -> int | None:
    """Reap what has ended; the status of `child`, or None while it lives."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if pid == 0:
            return None


def kill_children(seconds: float = KILL_SECONDS) -> None:
    """Kill the children of this process, and theirs as they become ours, until none is left."""
    until = time.monotonic() + seconds
    while children := children_of(os.getpid()):
        for pid in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        while _reap_one():
            pass
        if time.monotonic() > until:
            return
        time.sleep(0.002)  # noqa: TID251 -- this process has no loop


def children_of(parent: int) -> list[int]:
    """Pids of the direct children, by /proc."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[1]) == parent:
                found.append(int(name))
    return found


def _reap_one() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _end_as(status: int) -> None:
    """Exit code or signal of the child; without a second core dump."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    _prctl(_PR_SET_DUMPABLE, 0)
    with suppress(OSError, ValueError):  # SIGKILL has no handler to reset
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.kill(os.getpid(), -code)
    os._exit(128 - code)


def _call(target: str, arguments: list[str]) -> None:
    import importlib

    module, _, name = target.partition(":")
    function: Callable[[list[str]], object] = getattr(importlib.import_module(module), name)
    function(arguments)


def _end_unless_child_of(parent: int) -> None:
    """The parent may have ended before the kernel was asked to say so."""
    if os.getppid() != parent:
        os._exit(0)


def _highest_descriptor() -> int:
    return max((int(name) for name in os.listdir("/proc/self/fd")), default=2)


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), unused, unused, unused)


def _prctl_name(name: bytes) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name[:15])
