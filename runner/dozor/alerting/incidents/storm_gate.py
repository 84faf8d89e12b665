"""When too much happens at once: who is told alone, and from when on all are told as one."""

from __future__ import annotations

from enum import Enum, auto

AT_ONCE = 3
"""Incidents whose messages leave before anybody can know that there will be many."""
FEW = 6
"""Incidents told alone within `WINDOW` seconds; the next one begins a storm."""
WINDOW = 10.0
QUIET = 60.0
"""Seconds without a newcomer after which a storm takes in no more."""
LONGEST = 900.0
"""Seconds after which a storm takes in no more, however many come: they make a digest of their own."""


class Admission(Enum):
    """How an incident is to be told."""

    ALONE = auto()
    BEGIN = auto()
    """As the first of a storm's digest, together with `StormGate.waiting`."""
    JOIN = auto()
    """In the digest of the present storm."""


class StormGate:
    """Asked for each incident that is about to be told. `now`: seconds since the epoch."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}
        self._began_at = self._joined_at = float("-inf")

    def admit(self, incident_id: int, now: float) -> Admission:
        """An incident that is told again, because it has become worse, is no other one."""
        if now - self._joined_at < QUIET and now - self._began_at < LONGEST:
            self._joined_at = now
            return Admission.JOIN
        self._told = {number: at for number, at in self._told.items() if now - at < WINDOW}
        if incident_id in self._told or len(self._told) < FEW:
            self._told.setdefault(incident_id, now)
            return Admission.ALONE
        self._began_at = self._joined_at = now
        return Admission.BEGIN

    @property
    def waiting(self) -> tuple[int, ...]:
        """Of those told alone just now, the ones whose messages the pace still holds back."""
        return tuple(self._told)[AT_ONCE:]

    def resume(self, began_at: float, joined_at: float) -> None:
        """A storm of before a restart goes on."""
        self._began_at, self._joined_at = began_at, joined_at

    def calm(self) -> None:
        """The storm is over: who comes now is no part of it."""
        self._began_at = self._joined_at = float("-inf")
