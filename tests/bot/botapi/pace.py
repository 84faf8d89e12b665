"""Telegram's pace limits as token buckets: about 1 message/s a chat, 20/min a group, 30/s overall."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """`burst` at once, then `rate` a second."""

    rate: float
    burst: float
    tokens: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0: now."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / self.rate

    def take(self) -> None:
        self.tokens -= 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates a second and bursts. The published ones are the defaults."""

    chat_rate: float = 1.0
    chat_burst: float = 5.0
    group_rate: float = 20 / 60
    group_burst: float = 20.0
    overall_rate: float = 30.0
    overall_burst: float = 30.0


class Pace:
    """Seconds a sender must wait, or 0 and the message is counted."""

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._overall = Bucket(limits.overall_rate, limits.overall_burst, at=now())
        self._chats: dict[int, list[Bucket]] = {}

    def admit(self, chat_id: int, *, group: bool) -> int:
        """Whole seconds to wait, rounded up as Telegram does; 0: admitted."""
        now = self._now()
        buckets = self._chats.get(chat_id)
        if buckets is None:
            limits = self._limits
            buckets = [Bucket(limits.chat_rate, limits.chat_burst, at=now)]
            if group:
                buckets.append(Bucket(limits.group_rate, limits.group_burst, at=now))
            self._chats[chat_id] = buckets
        every = [*buckets, self._overall]
        wait = max(bucket.wait(now) for bucket in every)
        if wait > 0:
            return max(1, math.ceil(wait))
        for bucket in every:
            bucket.take()
        return 0
