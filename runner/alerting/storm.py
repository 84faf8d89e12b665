"""When too much happens at once: who is told alone, and from when on all are told as one."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

ALONE = 3
"""Incidents told alone within `WINDOW` seconds; the next one begins a storm."""
WINDOW = 10.0
QUIET = 15.0
"""Seconds without a newcomer after which a storm takes in no more."""


class Admission(Enum):
    """How an incident is to be told."""

    ALONE = auto()
    BEGIN = auto()
    """As the first of a storm's digest."""
    JOIN = auto()
    """In the digest of the present storm."""


class StormGate:
    """Asked for each incident that is about to be told. `now`: seconds since the epoch."""

    def __init__(self) -> None:
        self._told: deque[float] = deque()
        self._joined_at = float("-inf")

    def admit(self, now: float) -> Admission:
        if now - self._joined_at < QUIET:
            self._joined_at = now
            return Admission.JOIN
        while self._told and now - self._told[0] >= WINDOW:
            self._told.popleft()
        if len(self._told) < ALONE:
            self._told.append(now)
            return Admission.ALONE
        self._joined_at = now
        return Admission.BEGIN

    def resume(self, joined_at: float) -> None:
        """A storm of before a restart goes on."""
        self._joined_at = joined_at
