"""Failover: what Telegram takes too long to deliver is sent through the fallback channel (`second_channel`).

The messages come from the outbox (`outbox_failover`) or, while the database is away, from the outage queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from dozor.alerting.model.safe_text import shorten
from dozor.backoff import Backoff
from dozor.language.times import duration
from dozor.language.translator import Translator
from dozor.storage.tables.notifications import NotificationRow

TEXT_UNITS = 4000
LINES_UNITS = 1200
"""Of them, for messages of which only the first line is shown."""
SOON = 30.0
"""Seconds a message waits at most while the channel is in use; also the pause between two of its messages."""
URGENT = 1
"""The lowest priority (highest number) of messages to which `SOON` applies."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds until the next attempt when no channel accepted a message; doubled each time."""

Message = TypeVar("Message")
"""What a source calls one message, which may be for several destinations."""

Send = Callable[[str, str], Awaitable[bool]]
"""Sends title and text; True if a channel accepted them."""


class Wait(NamedTuple):
    """Of a message. `in_use`: the fallback channel serves its destination at present."""

    destination: str
    seconds: float
    priority: int
    in_use: bool


class FailoverSource(Protocol[Message]):
    """Where undelivered messages come from. Times are seconds since the epoch."""

    async def undelivered(self, now: float) -> Sequence[Message]:
        """What is worth saying, the most urgent first."""
        ...

    def waits(self, messages: Sequence[Message], now: float) -> Sequence[Wait]:
        """One for each destination of each message."""
        ...

    def select(self, messages: Sequence[Message], due: frozenset[str]) -> Sequence[Message]:
        """Those to send when it is time for the destinations `due`."""
        ...

    async def text(self, message: Message) -> str:
        """As it is now."""
        ...

    async def begin(self, messages: Sequence[Message]) -> None:
        """They are about to be sent."""
        ...

    async def settle(self, messages: Sequence[Message], sent: int, now: float) -> None:
        """The first `sent` of them were sent, the others were not."""
        ...


class ChannelFailover:
    """`after`: seconds for which a message may stay undelivered before `send` is used."""

    def __init__(self, send: Send, translator: Translator, after: float) -> None:
        self._send = send
        self._translator = translator
        self.after = after
        self._soon = min(after, SOON)
        self._not_before = float("-inf")
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    async def relay(self, source: FailoverSource[Message], now: float) -> None:
        """Send what is due, as much of it as one message holds."""
        messages = await source.undelivered(now)
        waits = source.waits(messages, now)
        if not (due := self.due(waits, now)):
            return
        chosen = source.select(messages, due)
        texts = [await source.text(message) for message in chosen]
        longest = max(one.seconds for one in waits if one.destination in due)
        await source.begin(chosen)
        sent = await self.send(texts, longest, now)
        await source.settle(chosen, sent, now)

    def due(self, waits: Iterable[Wait], now: float) -> frozenset[str]:
        """Destinations for which it is time: whatever waits for them is to be sent."""
        if now < self._not_before:
            return frozenset()
        return frozenset(
            one.destination
            for one in waits
            if one.seconds >= self.after
            or (one.in_use and one.priority <= URGENT and one.seconds >= self._soon)
        )

    async def send(self, texts: Sequence[str], waited: float, now: float) -> int:
        """One labelled message. How many of `texts`, from the first on, it contained; 0: nobody took it.

        `waited`: the longest of them, in seconds.
        """
        label = self._translator.format("alert-second-channel", duration=duration(self._translator, waited))
        text, count = compose(texts, lambda left: self._translator.format("alert-and-more", count=left))
        if not await self._send(label, text):
            self._not_before = now + self._backoff.next()
            return 0
        self._not_before = now + self._soon
        self._backoff.reset()
        return count


def compose(texts: Sequence[str], more: Callable[[int], str]) -> tuple[str, int]:
    """The first texts whole, then first lines while they fit; and how many of them are in it.

    `more`: words for those that are not.
    """
    parts: list[str] = []
    left = TEXT_UNITS - LINES_UNITS
    for text in texts:
        if parts and len(text) > left:
            break
        parts.append(shorten(text, TEXT_UNITS - LINES_UNITS))
        left -= len(parts[-1]) + 2
    whole, left = len(parts), left + LINES_UNITS - 100
    lines: list[str] = []
    for text in texts[whole:]:
        line = shorten(text.partition("\n")[0], 200)
        if len(line) > left:
            break
        lines.append(line)
        left -= len(line) + 1
    count = whole + len(lines)
    if omitted := len(texts) - count:
        lines.append(more(omitted))
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(parts), count


def base_key(row: NotificationRow) -> str:
    """The same for one message to several destinations."""
    return row.key.partition("@")[0]
