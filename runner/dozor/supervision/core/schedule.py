"""When a task runs next: pure functions of the last due time and now."""

from __future__ import annotations

import math
from datetime import datetime
from typing import assert_never
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dozor.clock import to_datetime
from dozor.config.values.schedules import Continuous, Cron, Every, Schedule
from dozor.supervision.core.policy import Policy


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
    if type(schedule) is Every:  # before the patterns: once for every run
        following = due_at + schedule.seconds
        if following > now:
            return following
    match schedule:
        case Every(seconds):
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
    """The first tick strictly after `at`; seconds since the epoch.

    As Debian's cron: a fixed time runs once a day whatever the clocks do, one that does not exist at the end
    of the gap; a wildcard in the minutes or hours runs by the time that passes, in both of a doubled hour.
    """
    local = to_datetime(at).astimezone(cron.timezone)
    if _is_wild(cron.expression):
        following: datetime = next(CronSim(cron.expression, local))
        return following.timestamp()
    # By the calendar alone: each time of day comes once.
    for tick in CronSim(cron.expression, local.replace(tzinfo=None)):
        moment = _first_moment(tick, cron.timezone)
        if moment > at:
            return moment
    raise AssertionError(f"{cron} never comes: refused with the configuration")


def _is_wild(expression: str) -> bool:
    minute, hour = expression.split()[-5:-3]
    return minute.startswith("*") or hour.startswith("*")


def _first_moment(wall: datetime, timezone: ZoneInfo) -> float:
    """When clocks first show `wall`, or would have: then the end of the gap."""
    first = wall.replace(tzinfo=timezone, fold=0)
    shown = to_datetime(first.timestamp()).astimezone(timezone).replace(tzinfo=None)
    if shown == wall:
        return first.timestamp()
    # In a gap the two readings lie on its two sides: `fold=1` has the offset of after it (PEP 495).
    before, after = first.utcoffset(), wall.replace(tzinfo=timezone, fold=1).utcoffset()
    assert before is not None
    assert after is not None
    return _end_of_gap(first.timestamp() - (after - before).total_seconds(), first.timestamp(), timezone)


def _end_of_gap(before: float, after: float, timezone: ZoneInfo) -> float:
    """The second at which the offset changes between two moments, the second one after the change."""
    low, high = math.floor(before), math.ceil(after)
    later = to_datetime(high).astimezone(timezone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if to_datetime(middle).astimezone(timezone).utcoffset() == later:
            high = middle
        else:
            low = middle
    return float(high)


STARTS_A_SECOND = 1_000


def stagger(policy: Policy, index: int, count: int) -> float:
    """Seconds by which to put off the start of the task `index` of `count` that start together."""
    window = count / STARTS_A_SECOND
    if isinstance(policy.schedule, Every):
        window = min(window, policy.schedule.seconds)
    return window * index / count
