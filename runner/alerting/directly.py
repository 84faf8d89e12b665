"""What went straight from memory to people: the lanes must not send it again unmarked."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SentDirectly:
    """By the keys of notifications."""

    delivered: dict[str, int | None] = field(default_factory=dict)
    """With the transport's ids of the messages."""
    elsewhere: set[str] = field(default_factory=set)
    """Told through the second channel."""
    unknown: set[str] = field(default_factory=set)
    """They may have arrived."""
