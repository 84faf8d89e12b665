"""What went straight from memory to people: the lanes must not send it again unmarked."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class DirectSends:
    """By the keys of notifications."""

    delivered: dict[str, int | None] = field(default_factory=dict)
    """With the transport's ids of the messages."""
    via_fallback: set[str] = field(default_factory=set)
    """Told through the second channel."""
    unknown: set[str] = field(default_factory=set)
    """They may have arrived."""
    _settled: set[str] = field(default_factory=set)

    @property
    def tried(self) -> frozenset[str]:
        """What the outbox must not take for new: should this process die, the next one marks it."""
        return frozenset((*self.delivered, *self.via_fallback, *self.unknown))

    def take_up(self, before: DirectSends) -> None:
        """What the process before this one had sent so."""
        self.delivered |= before.delivered
        self.via_fallback |= before.via_fallback
        self.unknown |= before.unknown

    def settle(self, key: str) -> None:
        """The outbox knows of it."""
        if key in self.delivered or key in self.via_fallback or key in self.unknown:
            self._settled.add(key)

    def forget_settled(self) -> None:
        """To be called while nothing waits in memory that may be in the outbox already.

        What was told elsewhere is kept until it has been summed up.
        """
        for key in self._settled - self.via_fallback:
            self.delivered.pop(key, None)
            self.unknown.discard(key)
        self._settled &= self.via_fallback

    @property
    def to_be_summed(self) -> frozenset[str]:
        """Told elsewhere, and in the outbox by now."""
        return frozenset(self._settled & self.via_fallback)

    def summarised(self, keys: frozenset[str]) -> None:
        """A summary is owed that names these."""
        self.via_fallback -= keys
