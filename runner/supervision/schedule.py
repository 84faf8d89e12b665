"""When a task runs next: pure functions of the last due time and now."""

from __future__ import annotations

import math
from datetime import datetime
from typing import assert_never

from cronsim import CronSim

from runner.clock import to_datetime
from runner.config.tasks import Continuous, Cron, Every, Schedule


def next_due(
    schedule: Schedule,
    due_at: float,
    now: float,
    *,
    rest: float,
    skip_missed: bool = False,
    offset: float = 0.0,
) -> float:
    """The due time after a run that was due at `due_at` and has ended at `now`.

    Ticks missed meanwhile become one, due in the past, unless `skip_missed`.
    `rest` (seconds) is the pause of a continuous task that returned; `offset` (seconds) lies between the
    ticks of a cron expression and this task's starts, in `due_at` and in the answer.
    """
    match schedule:
        case Every(seconds):
            following = due_at + seconds
            if following > now:
                return following
            latest = due_at + math.floor((now - due_at) / seconds) * seconds
            return latest + seconds if skip_missed else latest
        case Cron():
            following = cron_after(schedule, due_at - offset) + offset
            if following > now or not skip_missed:
                # Once for all missed ticks: the first of them is due, the next is counted from now.
                return following if following > now else now
            return cron_after(schedule, now - offset) + offset
        case Continuous():
            return now + rest
        case _:
            assert_never(schedule)


def first_due(schedule: Schedule, now: float, *, spread: float, offset: float = 0.0) -> float:
    """The due time of a task that never ran. `spread` (seconds) keeps a thousand tasks apart."""
    match schedule:
        case Every() | Continuous():
            return now + spread + offset
        case Cron():
            return cron_after(schedule, now - offset) + offset
        case _:
            assert_never(schedule)


def cron_after(cron: Cron, at: float) -> float:
    """The first tick strictly after `at`; seconds since the epoch."""
    local = to_datetime(at).astimezone(cron.timezone)
    following: datetime = next(CronSim(cron.expression, local))
    return following.timestamp()
