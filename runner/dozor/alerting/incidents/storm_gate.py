"""The storm gate: counts incidents that open at the same time, and begins a storm when they are too many."""

from __future__ import annotations

from enum import Enum, auto

AT_ONCE = 3
"""Incidents whose messages have left before a storm can be recognised."""
FEW = 6
"""Incidents with their own messages within `WINDOW` seconds; the next one begins a storm."""
WINDOW = 10.0
QUIET = 60.0
"""Seconds without a new member after which a storm takes in no more."""
LONGEST = 900.0
"""Seconds after which a storm takes in no more, however many come: the next ones begin another."""


class Admission(Enum):
    """How people are notified of an incident."""

    ALONE = auto()
    BEGIN = auto()
    """As the first of a storm's digest, together with `StormGate.waiting`."""
    JOIN = auto()
    """In the digest of the present storm."""


class StormGate:
    """Called for each incident whose message is about to be sent. `now`: seconds since the epoch."""

    def __init__(self) -> None:
        self._alone: dict[int, float] = {}
        self._began_at = self._joined_at = float("-inf")

    def admit(self, incident_id: int, now: float) -> Admission:
        """The same incident again, because it has become worse, does not count twice."""
        if now - self._joined_at < QUIET and now - self._began_at < LONGEST:
            self._joined_at = now
            return Admission.JOIN
        self._alone = {number: at for number, at in self._alone.items() if now - at < WINDOW}
        if incident_id in self._alone or len(self._alone) < FEW:
            self._alone.setdefault(incident_id, now)
            return Admission.ALONE
        self._began_at = self._joined_at = now
        return Admission.BEGIN

    @property
    def waiting(self) -> tuple[int, ...]:
        """Of the last ones admitted alone, those whose messages the rate limit still delays."""
        return tuple(self._alone)[AT_ONCE:]

    def resume(self, began_at: float, joined_at: float) -> None:
        """A storm that began before a restart goes on."""
        self._began_at, self._joined_at = began_at, joined_at

    def end(self) -> None:
        """The storm is over: the next incident is not part of it."""
        self._began_at = self._joined_at = float("-inf")
