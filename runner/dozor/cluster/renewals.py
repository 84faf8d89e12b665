"""How regularly a leader has renewed its lease: renewals that came late, before they cost it the lease."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 300.0
"""Seconds for which a late renewal is remembered."""
KEPT = 1_000
"""Late renewals that are remembered at most."""


def late_after(ttl: float) -> float:
    """Seconds between two renewals from which the later one is late. Pure.

    A third of the lease, which is the pace of a leader, and a fifteenth more.
    """
    return ttl * 0.4


@dataclass(frozen=True, slots=True)
class LateRenewals:
    """Of the last `WINDOW` seconds. `longest`: seconds between two renewals, or since the last one."""

    count: int
    longest: float


class RenewalLog:
    """Times are seconds by CLOCK_BOOTTIME, of the attempts that succeeded."""

    def __init__(self, ttl: float) -> None:
        self._late_after = late_after(ttl)
        self._last: float | None = None
        self._late: deque[tuple[float, float]] = deque(maxlen=KEPT)
        """(when, seconds since the renewal before)."""
        self.late_total = 0
        """Late renewals since the start of the process."""

    def renewed(self, attempted_at: float) -> None:
        """The lease was taken or renewed by an attempt that began at `attempted_at`."""
        if self._last is not None and attempted_at - self._last > self._late_after:
            self._late.append((attempted_at, attempted_at - self._last))
            self.late_total += 1
        self._last = attempted_at

    def ended(self) -> None:
        """This process does not lead any more: what follows is no renewal of that term."""
        self._last = None

    def unrenewed_for(self, now: float) -> float | None:
        """Seconds since the last renewal, if the next one is late by now."""
        if self._last is None or now - self._last <= self._late_after:
            return None
        return now - self._last

    def late(self, now: float) -> LateRenewals:
        """Those that came late in the last minutes, and the one that is late at this moment."""
        while self._late and self._late[0][0] < now - WINDOW:
            self._late.popleft()
        gaps = [gap for _, gap in self._late]
        present = self.unrenewed_for(now)
        if present is not None:
            gaps.append(present)
        return LateRenewals(len(gaps), max(gaps, default=0.0))
