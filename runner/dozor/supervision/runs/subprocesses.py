"""Which processes a run has started, through `subprocess`, asyncio's subprocesses or `multiprocessing`."""

from __future__ import annotations

import multiprocessing.process
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import psutil

from dozor.supervision.runs.ownership import CURRENT, Scope, StartedProcess

_open = subprocess.Popen.__init__
_start = multiprocessing.process.BaseProcess.start


@dataclass(frozen=True, slots=True)
class Started:
    """A process that a run has started. It holds no reference to the object of whoever started it."""

    pid: int
    name: str

    def runs(self) -> bool:
        """Whether it still runs as a child of this process.

        It is never waited for: its exit status belongs to the code that started it.
        """
        try:
            process = psutil.Process(self.pid)
            return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def own_subprocesses() -> None:
    """Have the processes that runs start attributed to them. For a process of ours."""
    subprocess.Popen.__init__ = _attributed_open  # type: ignore[method-assign, assignment]
    multiprocessing.process.BaseProcess.start = _attributed_start  # type: ignore[method-assign, assignment]


def subprocesses_of(scope: Scope) -> list[StartedProcess]:
    """Processes that the run has started and that still run."""
    return [process for process in scope.processes or () if process.runs()]


def _attributed_open(popen: subprocess.Popen[Any], args: Any, *others: Any, **options: Any) -> None:
    _open(popen, args, *others, **options)
    scope = CURRENT.get()
    if scope is not None:
        _add(scope, popen.pid, _program(args))


def _attributed_start(process: multiprocessing.process.BaseProcess) -> None:
    _start(process)
    scope = CURRENT.get()
    if scope is not None and process.pid is not None:
        _add(scope, process.pid, process.name)


def _add(scope: Scope, pid: int, name: str) -> None:
    if scope.processes is None:
        scope.processes = []
    scope.processes.append(Started(pid, name))


def _program(args: Any) -> str:
    """The program alone: its arguments may hold secrets."""
    first = args if isinstance(args, str | bytes | os.PathLike) else next(iter(args), "")
    words = os.fsdecode(first).split() or [""]
    return os.path.basename(words[0])
