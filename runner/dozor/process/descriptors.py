"""File descriptors of the process: its limit, and a reserve for Dozor's own connections.

When checkers have taken every descriptor, a connection to the database fails with EMFILE: the database is not
the cause. The reserve is then given up, so that the runner's own connections and the alert get through.
"""

from __future__ import annotations

import errno
import os
import resource
import threading

from dozor.errors import out_of_resources
from dozor.language import msg

MOST = 1_048_576
"""The limit that is asked for at most: some containers allow a thousand times as many."""
RESERVED = 8


def raise_limit() -> int:
    """Raise the soft limit to the hard one. The limit that holds afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS allows less than its hard limit says
        return soft
    return wanted


def exhausted() -> OSError | None:
    """The error that opening one more descriptor raises now; None: there is room."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        return error if out_of_resources(error) else None
    return None


def describe(error: BaseException) -> str:
    """The condition in words: "out of file descriptors: 1024 of 1024"."""
    match error:
        case OSError(errno=errno.EMFILE):
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return msg("error-out-of-descriptors", used=str(most), most=str(most))
        case OSError(errno=errno.ENFILE):
            return msg("error-out-of-descriptors-system")
        case _:
            return msg("error-out-of-memory")


class Reserve:
    """Descriptors that are held so that they can be given up. Thread-safe."""

    def __init__(self, size: int = RESERVED) -> None:
        self._size = size
        self._held: list[int] = []
        self._guard = threading.Lock()

    def fill(self) -> None:
        """Hold `size` descriptors again, as far as there are any left."""
        with self._guard:
            try:
                while len(self._held) < self._size:
                    self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                if not out_of_resources(error):
                    raise

    def release(self) -> bool:
        """Give them up. Whether there were any."""
        with self._guard:
            held, self._held = self._held, []
        for descriptor in held:
            os.close(descriptor)
        return bool(held)


RESERVE = Reserve()
"""Of this process. `dozor.supervision.monitoring.limits` fills it."""
