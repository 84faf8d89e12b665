"""The state of a destination: its backoff, whether it refuses messages, has moved, or lost its topic.

What the next process needs is stored as soon as it is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.delivery.transport import MovingTransport, Place, TopicTransport, Transport
from dozor.backoff import Backoff
from dozor.clock import Clock
from dozor.storage.tables.destinations import DestinationRow

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between attempts while the other side is away: doubled from the first to the longest."""
FIRST_REST = 30.0
LONGEST_REST = 3600.0
"""Seconds between attempts while a chat refuses messages, doubled likewise."""
TOPIC_AGAIN = 300.0
"""Seconds after which a lost topic is tried again: it may have been reopened. A new process tries at once."""

Write = Callable[[DestinationRow], Awaitable[None]]


def enter(stored: DestinationRow | None, key: str, place: Place) -> tuple[DestinationRow, bool]:
    """The row of a destination that is configured to be `place`, and whether its messages are elsewhere.

    `stored`: the state that the previous process has written. Pure.
    """
    here = DestinationRow(key=key, chat_id=place.chat_id, thread_id=place.thread_id, bot_id=place.bot_id)
    if stored is None:
        return here, False
    if place.chat_id == stored.chat_id:
        same = replace(stored, thread_id=place.thread_id, bot_id=place.bot_id)
    elif place.chat_id == stored.moved_to:  # the configuration follows the chat's new id
        same = replace(here, held_until=stored.held_until)
    else:
        return here, True
    if _differ(stored.bot_id, place.bot_id) or _differ(stored.thread_id, place.thread_id):
        return replace(here, moved_to=same.moved_to), True
    # What is not known now was known before.
    thread = stored.thread_id if place.thread_id is None else place.thread_id
    return replace(same, thread_id=thread, bot_id=place.bot_id or stored.bot_id), False


def _differ(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one != other


class DestinationState:
    """`known`: as stored. `calls`: when those of the last minute left. `write` stores a row."""

    def __init__(
        self,
        known: DestinationRow,
        transport: Transport,
        paces: RateLimiters,
        calls: Sequence[float],
        clock: Clock,
        write: Write,
    ) -> None:
        self._known = known
        self._transport = transport
        self._paces = paces
        self.pace = paces.of(known.moved_to or known.chat_id, calls)
        self._clock = clock
        self._write = write
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._rests = Backoff(FIRST_REST, LONGEST_REST)
        self._not_before = float("-inf")
        self._topic_again: float | None = None
        if known.held_until is not None:
            # Cap the stored hold: the clock of its writer may have been ahead, and Telegram repeats it.
            self.pace.hold(min(known.held_until, clock.now() + LONGEST_REST))
        if known.moved_to is not None and isinstance(transport, MovingTransport):
            transport.move(known.moved_to)

    @property
    def refused(self) -> str | None:
        """Why the chat refuses messages, None while it does not."""
        return self._known.dead_reason

    async def keep(self) -> None:
        """Store what is known."""
        await self._write(self._known)

    @property
    def chat_id(self) -> int:
        """Of the chat it is now; 0: of none."""
        return self._known.moved_to or self._known.chat_id

    def wait_to_send(self) -> float:
        """Seconds until a message may leave."""
        now = self._clock.now()
        return max(self._not_before - now, self.pace.delay_for_send(now))

    def wait_to_edit(self) -> float:
        """Seconds until an edit may leave."""
        now = self._clock.now()
        return max(self._not_before - now, self.pace.delay_for_edit(now))

    def consume(self) -> None:
        """A call leaves now."""
        self.pace.take(self._clock.now())

    def sending(self) -> None:
        """A message leaves now: into its topic again, if that was lost long ago."""
        self.consume()
        transport, now = self._transport, self._clock.now()
        if not isinstance(transport, TopicTransport) or not transport.topic_lost:
            self._topic_again = None
        elif self._topic_again is None:
            self._topic_again = now + TOPIC_AGAIN
        elif now >= self._topic_again:
            self._topic_again = None
            transport.topic_lost = False

    def try_topic(self) -> None:
        """Somebody has written in the chat: perhaps the topic was reopened."""
        if isinstance(self._transport, TopicTransport):
            self._transport.topic_lost, self._topic_again = False, None

    def backoff_unavailable(self) -> float:
        """It is unavailable: seconds until the next attempt."""
        return self._leave_alone(self._pauses.next())

    def backoff_rejected(self) -> float:
        """It refuses messages: seconds until the next attempt."""
        return self._leave_alone(self._rests.next())

    def reopen(self) -> None:
        """It takes messages again, as far as can be seen: the next one need not wait for the rest to end."""
        self._not_before = float("-inf")
        self._rests.reset()

    @property
    def next_rest(self) -> float:
        """Seconds that `backoff_rejected` would give now."""
        return self._rests.upcoming

    async def throttle(self, seconds: float) -> float:
        """Wait so long, in all topics of the chat."""
        until = self._clock.now() + seconds
        self.pace.hold(until)
        await self._remember(replace(self._known, held_until=until))
        return seconds

    async def moved(self, chat_id: int) -> None:
        """It has become another chat."""
        self.pace = self._paces.of(chat_id)
        await self._remember(replace(self._known, moved_to=chat_id))

    async def mark_rejected(self, reason: str) -> None:
        """It refuses messages."""
        now = self._clock.now()
        await self._remember(replace(self._known, dead_since=now, dead_reason=reason[:500]))

    async def mark_ok(self) -> bool:
        """It took a message; whether it had refused messages before."""
        self._pauses.reset()
        self._rests.reset()
        refused = self._known.dead_since is not None or self._known.dead_reason is not None
        if refused:
            await self._remember(replace(self._known, dead_since=None, dead_reason=None))
        return refused

    def _leave_alone(self, seconds: float) -> float:
        self._not_before = self._clock.now() + seconds
        return seconds

    async def _remember(self, row: DestinationRow) -> None:
        self._known = row
        await self._write(row)
