"""The file of runs, while a campaign goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

POOL = "pool_"
"""Names of tasks whose runs any process takes begin so."""


class RunFile:
    """What checkers wrote, read on from where it was read last. Times by CLOCK_MONOTONIC."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._orders: dict[int, float] = {}
        self._open: dict[tuple[int, str, str], float] = {}
        self._in_pool: dict[str, list[tuple[float, int]]] = {}

    def first_after(self, epoch: int) -> float | None:
        """The first begin of a later epoch."""
        self._read_on()
        return min((began for later, began in self._first.items() if later > epoch), default=None)

    def last_of(self, epoch: int) -> float:
        """The latest begin of `epoch`; -inf: there is none."""
        self._read_on()
        return self._last.get(epoch, float("-inf"))

    def order_of(self, pid: int) -> float | None:
        """When this process began to carry out its order."""
        self._read_on()
        return self._orders.get(pid)

    def busy(self, pids: Iterable[int]) -> int | None:
        """One of these processes that is in a run of a pool at this moment."""
        self._read_on()
        found = {pid for pid, task, _ in self._open if task.startswith(POOL)}
        return next((pid for pid in pids if pid in found), None)

    def elsewhere(self, pid: int, since: float) -> float | None:
        """When each task of the pool had begun a run in another process; None: one has not yet."""
        self._read_on()
        firsts = []
        for begins in self._in_pool.values():
            later = [began for began, other in begins if other != pid and began > since]
            if not later:
                return None
            firsts.append(min(later))
        return max(firsts, default=None)

    def _read_on(self) -> None:
        if not self._file.exists():
            return
        with self._file.open() as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind("\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self._note(*line.split())

    def _note(self, kind: str, task: str, run: str, process: str, moment: str, _due: str, term: str) -> None:
        pid, at, epoch = int(process), int(moment) / 1e9, int(term)
        match kind:
            case "order":
                self._orders[pid] = at
            case "end":
                self._open.pop((pid, task, run), None)
            case _:
                self._open[pid, task, run] = at
                if task.startswith(POOL):
                    self._in_pool.setdefault(task, []).append((at, pid))
                else:
                    self._first.setdefault(epoch, at)
                    self._last[epoch] = at
