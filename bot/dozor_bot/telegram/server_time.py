"""Telegram's clock, as the `Date` header of its HTTP answers shows it (RFC 9110, section 6.6.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from dozor.clock import Clock


class ServerTime:
    """`now` is Telegram's time. Until the first answer it is the host's.

    Dates of messages are Telegram's, so the age of a command must be counted by the same clock: the host's
    may be wrong by an hour. The header has whole seconds, between answers a monotonic clock goes on.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._steady = clock, steady
        self._seen: tuple[float, float] | None = None
        # Telegram's time, and the steady clock's at the same moment.

    def note(self, date: str | None) -> None:
        """An answer came with this header; one that cannot be read is ignored."""
        if date is None:
            return
        try:
            at = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self._seen = at, self._steady()

    def now(self) -> float:
        """Seconds since the epoch."""
        if self._seen is None:
            return self._clock.now()
        at, steady = self._seen
        return at + self._steady() - steady
