"""Schedules: `every`, `cron`, continuous. Without pydantic: `safe_background_task` imports this module."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dozor.config.values.durations import format_duration


@dataclass(frozen=True, slots=True)
class Every:
    """At a fixed rate."""

    seconds: float

    def __str__(self) -> str:
        return f"every {format_duration(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """At the ticks of a cron expression."""

    expression: str
    timezone: ZoneInfo

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.timezone.key})"


@dataclass(frozen=True, slots=True)
class Continuous:
    """Meant never to return."""

    def __str__(self) -> str:
        return "continuous"


Schedule = Every | Cron | Continuous


def schedule_of(every: float | None, cron: str | None, timezone: ZoneInfo | None) -> Schedule:
    """The keys `every`, `cron` and `timezone` of a task as one value."""
    if every is not None:
        return Every(every)
    if cron is not None:
        return Cron(cron, timezone or ZoneInfo("UTC"))
    return Continuous()
