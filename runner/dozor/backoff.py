"""Pauses between attempts: each one twice as long as the one before, up to a limit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """`first` seconds, then twice as long each time, up to `longest`."""

    first: float
    longest: float
    upcoming: float = field(init=False)
    """What `next` returns."""

    def __post_init__(self) -> None:
        self.upcoming = self.first

    def next(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause, self.upcoming = self.upcoming, min(self.upcoming * 2, self.longest)
        return pause

    def reset(self) -> None:
        """An attempt has succeeded."""
        self.upcoming = self.first
