"""Quiet hours: a daily time, by the wall clock of a timezone, without sounds for most messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def moment(day: date, at: time, zone: ZoneInfo) -> float:
    """That wall-clock time as seconds since the epoch; the first of two, or after the gap that skips it."""
    return datetime.combine(day, at, zone).astimezone(UTC).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From `begin` to `end` of every day, over midnight if `end` is earlier."""

    begin: time
    end: time
    timezone: ZoneInfo

    def covers(self, at: float) -> bool:
        """`at`: seconds since the epoch."""
        local = datetime.fromtimestamp(at, self.timezone).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end

    def last(self, at: float) -> tuple[float, float]:
        """Begin and end of the last quiet hours that were over at `at`; seconds since the epoch."""
        day = datetime.fromtimestamp(at, self.timezone).date()
        end = moment(day, self.end, self.timezone)
        if end > at:
            day -= timedelta(days=1)
            end = moment(day, self.end, self.timezone)
        first = day if self.begin <= self.end else day - timedelta(days=1)
        return moment(first, self.begin, self.timezone), end
