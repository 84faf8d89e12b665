"""Misfires: runs that were due while no runner was running. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from dozor.config.values.schedules import Continuous, Cron, Every
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import cron_after
from dozor.supervision.core.state import State

CRON_TICKS = 3000
"""Ticks of cron that are counted, of all tasks together: 20 µs each, and the start waits for them."""


@dataclass(frozen=True, slots=True)
class Misfires:
    """How many tasks missed how many runs; `more`: at least so many, it was not counted to the end."""

    tasks: int = 0
    runs: int = 0
    more: bool = False


def missed(tasks: Iterable[tuple[Policy, TaskRow]], since: float, now: float) -> Misfires:
    """Runs due in (`since`, `now`], seconds since the epoch. The rows are those that the last runner left.

    Stopped, paused and held tasks have missed nothing, and continuous ones have no schedule.
    """
    count = runs = 0
    left = CRON_TICKS
    for policy, row in tasks:
        due, walked = _due(policy, row, since, now, left)
        left -= walked
        count += due > 0
        runs += due
    return Misfires(count, runs, more=left <= 0)


def _due(policy: Policy, row: TaskRow, since: float, now: float, left: int) -> tuple[int, int]:
    """How many were due, and how many ticks had to be walked for it."""
    if row.state == State.BACKOFF:
        return int(row.next_run_at is not None and since < row.next_run_at <= now), 0
    if row.state not in (State.WAITING, State.RUNNING):
        return 0, 0
    match policy.schedule:
        case Every(seconds):
            base = row.next_run_at if row.running_since is None else row.running_since
            return (0 if base is None else _ticks(base, seconds, since, now)), 0
        case Cron() as cron:
            count, at = 0, cron_after(cron, since - policy.offset) + policy.offset
            while at <= now and count < left:
                count += 1
                at = cron_after(cron, at - policy.offset) + policy.offset
            return count, count
        case Continuous():
            return 0, 0
        case _:
            assert_never(policy.schedule)


def _ticks(base: float, every: float, since: float, now: float) -> int:
    """Of a fixed rate whose next tick is `base`."""
    first = base if base > since else base + (math.floor((since - base) / every) + 1) * every
    return 0 if first > now else math.floor((now - first) / every) + 1
