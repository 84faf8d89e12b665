"""Messages sent from memory while the database was away: delivery does not send them again unmarked."""

from __future__ import annotations

from dataclasses import dataclass, field

from dozor.alerting.delivery.transport import Place


@dataclass(slots=True)
class DirectSends:
    """By the key of the notification."""

    delivered: dict[str, int | None] = field(default_factory=dict)
    """With the transport's ids of the messages."""
    via_fallback: set[str] = field(default_factory=set)
    """Sent through the fallback channel."""
    unknown: set[str] = field(default_factory=set)
    """They may have arrived."""
    place: Place | None = None
    """What the ids of `delivered` belong to; None: not known."""
    _settled: set[str] = field(default_factory=set)

    @property
    def tried(self) -> frozenset[str]:
        """Keys that the outbox stores as possible duplicates, for the case that this process is killed."""
        return frozenset((*self.delivered, *self.via_fallback, *self.unknown))

    def take_up(self, before: DirectSends) -> None:
        """Add what the previous process had sent so."""
        self.delivered |= before.delivered
        self.via_fallback |= before.via_fallback
        self.unknown |= before.unknown
        self.place = before.place

    def settle(self, key: str) -> None:
        """The outcome is in the outbox."""
        if key in self.delivered or key in self.via_fallback or key in self.unknown:
            self._settled.add(key)

    def forget_settled(self) -> None:
        """Call it while nothing waits in memory that may be in the outbox already.

        What the fallback channel sent is kept until a summary names it.
        """
        for key in self._settled - self.via_fallback:
            self.delivered.pop(key, None)
            self.unknown.discard(key)
        self._settled &= self.via_fallback

    @property
    def to_be_summed(self) -> frozenset[str]:
        """Sent through the fallback channel, and in the outbox by now."""
        return frozenset(self._settled & self.via_fallback)

    def summarised(self, keys: frozenset[str]) -> None:
        """A summary that names these is queued."""
        self.via_fallback -= keys
