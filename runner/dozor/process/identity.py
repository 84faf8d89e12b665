"""Which process this is, so that another one on the same machine can find out whether it still exists."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_STATE = 2
_START = 21
"""Positions in /proc/PID/stat (proc(5), counted from 0)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`boot_id` and `pid_namespace` are "" where the system does not tell them, `started` is 0 then.

    `started`: clock ticks after boot; together with `pid` it names one process of one boot.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Of the calling process."""
        stat = _stat(os.getpid())
        return cls(
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started=0 if stat is None else int(stat[_START]),
        )

    def known_dead(self, here: ProcessIdentity) -> bool:
        """Is it certain, seen from the process `here`, that this process has ended?

        Only on the same boot of the same machine and in the same pid namespace; else nothing is certain.
        A zombie has ended: its threads are gone. One that the kernel has stopped has not.
        """
        if not self.boot_id or not self.pid_namespace or not self.started:
            return False
        if (self.boot_id, self.pid_namespace) != (here.boot_id, here.pid_namespace):
            return False
        stat = _stat(self.pid)
        if stat is None:
            return not Path(f"/proc/{self.pid}").exists()
        return int(stat[_START]) != self.started or stat[_STATE] in ("Z", "X")


def _boot_id() -> str:
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat; the second one, a name, may hold anything. None: no such process."""
    text = _text(Path(f"/proc/{pid}/stat"))
    before, _, after = text.rpartition(")")
    fields = after.split()
    if len(fields) < _START - 1:
        return None
    number, _, name = before.partition("(")
    return [number.strip(), name, *fields]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
