"""Rate limits of Telegram, kept on our side: about 1 message/s a chat, 20/min a group, 30/s overall.

Edits count.

https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dozor.clock import Clock

CLOCK_GRAIN = 1e-5
"""Tokens; a smaller difference is the rounding of clocks."""
REMEMBERED = 60.0
"""Seconds of calls that a new process reads: after them a group's bucket is full again."""


@dataclass(slots=True)
class TokenBucket:
    """`burst` at once, then `rate` a second; `kept` tokens are kept back from edits, for messages.

    Times are seconds since the epoch.
    """

    rate: float
    burst: float
    kept: float
    tokens: float
    at: float

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """Seconds until `tokens` are there; 0: now."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)
        missing = tokens - self.tokens
        return 0.0 if missing < CLOCK_GRAIN else missing / self.rate

    def take(self, now: float) -> None:
        self.wait(now)
        self.tokens -= 1.0

    def consume_spare(self, now: float) -> None:
        """Takes a token unless it is the last."""
        self.wait(now)
        self.tokens = max(self.tokens - 1.0, min(self.tokens, 1.0))


def overall_bucket(now: float) -> TokenBucket:
    """Shared by all chats of one bot."""
    return TokenBucket(rate=28.0, burst=20.0, kept=4.0, tokens=20.0, at=now)


class RateLimiter:
    """One chat's, whatever its topics: when the next call may leave. Without buckets: at once."""

    def __init__(self, *buckets: TokenBucket) -> None:
        self._buckets = buckets
        self._held_until = float("-inf")

    def delay_for_send(self, now: float) -> float:
        """Seconds until a message may leave."""
        waits = (bucket.wait(now) for bucket in self._buckets)
        return max([self.throttled_for(now), *waits])

    def delay_for_edit(self, now: float) -> float:
        """Seconds until an edit may leave: some tokens are kept for messages."""
        waits = (bucket.wait(now, 1.0 + bucket.kept) for bucket in self._buckets)
        return max([self.throttled_for(now), *waits])

    def throttled_for(self, now: float) -> float:
        """Seconds until anything may leave, as the last `RetryAfter` asked."""
        return max(0.0, self._held_until - now)

    def take(self, now: float) -> None:
        """A call leaves."""
        for bucket in self._buckets:
            bucket.take(now)

    def consume_for_reply(self, now: float) -> None:
        """A reply to a person leaves: it does not wait, and delays only edits."""
        for bucket in self._buckets:
            bucket.consume_spare(now)

    def hold(self, until: float) -> None:
        """Nothing leaves before `until`."""
        self._held_until = max(self._held_until, until)


def chat_pace(overall: TokenBucket, *, group: bool, calls: Iterable[float], now: float) -> RateLimiter:
    """`calls`: when the last minute's calls to the chat left; the previous process made them."""
    begin = now - REMEMBERED  # when the buckets may have been empty
    own = [TokenBucket(rate=1.0, burst=3.0, kept=1.0, tokens=0.0, at=begin)]
    if group:
        own.append(TokenBucket(rate=20 / 60, burst=15.0, kept=5.0, tokens=0.0, at=begin))
    # A time in the future is of a clock that was ahead: it counts as now.
    for at in sorted(at for at in calls if begin <= at < now + REMEMBERED):
        for bucket in own:
            bucket.take(min(at, now))
    return RateLimiter(*own, overall)


class RateLimiters:
    """One for each chat, shared by everything that is sent there: alerts, replies, cards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._overall = overall_bucket(clock.now())
        self._by_chat: dict[int, RateLimiter] = {}

    def of(self, chat_id: int, calls: Iterable[float] = ()) -> RateLimiter:
        """Of a chat, a group if its id is negative; 0: unlimited, for what is no chat.

        `calls`: when the previous process made the last ones; used when the limiter is created.
        """
        if chat_id == 0:
            return RateLimiter()
        pace = self._by_chat.get(chat_id)
        if pace is None:
            now = self._clock.now()
            pace = chat_pace(self._overall, group=chat_id < 0, calls=calls, now=now)
            self._by_chat[chat_id] = pace
        return pace
