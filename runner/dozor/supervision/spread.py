"""Keeping many tasks from starting in the same millisecond."""

from __future__ import annotations

from dozor.config.schedules import Every
from dozor.supervision.core.policy import Policy

STARTS_A_SECOND = 1_000


def spread_of(policy: Policy, index: int, count: int) -> float:
    """Seconds by which to put off the start of the task `index` of `count` that start together."""
    window = count / STARTS_A_SECOND
    if isinstance(policy.schedule, Every):
        window = min(window, policy.schedule.seconds)
    return window * index / count
