"""Telegram's pace, kept by ourselves: about 1 message/s a chat, 20/min a group, 30/s overall; edits count.

https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

from dataclasses import dataclass

CLOCK_GRAIN = 1e-5
"""Less than this of a token is the rounding of clocks."""


@dataclass(slots=True)
class Bucket:
    """`burst` at once, then `rate` a second. Times are seconds since the epoch."""

    rate: float
    burst: float
    tokens: float
    at: float

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """Seconds until `tokens` are there; 0: now."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        missing = tokens - self.tokens
        return 0.0 if missing < CLOCK_GRAIN else missing / self.rate

    def take(self, now: float) -> None:
        self.wait(now)
        self.tokens -= 1.0


class OverallPace:
    """Shared by all chats of one bot."""

    def __init__(self, now: float) -> None:
        self.bucket = Bucket(rate=28.0, burst=20.0, tokens=20.0, at=now)


class ChatPace:
    """One chat's own. A fresh process does not know what the one before it has just sent: it begins low."""

    CHAT_BURST = 3.0
    GROUP_BURST = 15.0
    GROUP_START = 6.0
    KEPT = 5.0
    """Of a group's tokens, kept back from edits for what must wake somebody."""

    def __init__(self, overall: OverallPace, *, group: bool, now: float) -> None:
        self._overall = overall.bucket
        self._chat = Bucket(rate=1.0, burst=self.CHAT_BURST, tokens=self.CHAT_BURST, at=now)
        self._group: Bucket | None = None
        if group:
            self._group = Bucket(20 / 60, self.GROUP_BURST, self.GROUP_START, now)

    def to_send(self, now: float) -> float:
        """Seconds until a message may leave."""
        wait = max(self._chat.wait(now), self._overall.wait(now))
        return wait if self._group is None else max(wait, self._group.wait(now))

    def to_edit(self, now: float) -> float:
        """Seconds until an edit may: it leaves room for messages."""
        wait = max(self._chat.wait(now, 2.0), self._overall.wait(now, 5.0))
        return wait if self._group is None else max(wait, self._group.wait(now, 1.0 + self.KEPT))

    def take(self, now: float) -> None:
        """A call has left."""
        self._chat.take(now)
        self._overall.take(now)
        if self._group is not None:
            self._group.take(now)


class NoPace:
    """The console's."""

    def to_send(self, now: float) -> float:
        return 0.0

    def to_edit(self, now: float) -> float:
        return 0.0

    def take(self, now: float) -> None:
        """Nobody counts."""


Pace = ChatPace | NoPace
