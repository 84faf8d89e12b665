"""Another way to people while Telegram takes nothing: when it is used, and what is said there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from dozor.alerting.model.safe_text import shorten
from dozor.language.times import duration
from dozor.language.translator import Translator

TEXT_UNITS = 4000
LINES_UNITS = 1200
"""Of them, for what is told by its first line alone."""
SOON = 30.0
"""Seconds to which waiting is cut while the channel is in use; and between two of its messages, at least."""
URGENT = 1
"""The priority up to which a message does not wait any longer then."""
FIRST_REST, LONGEST_REST = 5.0, 60.0
"""Seconds until it is tried again when nobody took a message."""

Send = Callable[[str, str], Awaitable[bool]]
"""Title and text; whether somebody took it."""


class Wait(NamedTuple):
    """Of a message. `in_use`: another for its chat went this way, and the chat has not been back since."""

    destination: str
    seconds: float
    priority: int
    in_use: bool


class FallbackChannel:
    """`after`: seconds for which a message may stay unsent before this is used."""

    def __init__(self, send: Send, translator: Translator, after: float) -> None:
        self._send = send
        self._translator = translator
        self.after = after
        self._soon = min(after, SOON)
        self._not_before = float("-inf")
        self._rest = FIRST_REST

    def due(self, waits: Iterable[Wait], now: float) -> frozenset[str]:
        """Destinations for which it is time: whatever waits for them is to be told."""
        if now < self._not_before:
            return frozenset()
        return frozenset(
            one.destination
            for one in waits
            if one.seconds >= self.after
            or (one.in_use and one.priority <= URGENT and one.seconds >= self._soon)
        )

    async def tell(self, texts: Sequence[str], waited: float, now: float) -> int:
        """One labelled message. How many of `texts`, from the first on, it told somebody; 0: nobody took it.

        `waited`: the longest of them, in seconds.
        """
        label = self._translator.format("alert-second-channel", duration=duration(self._translator, waited))
        text, told = compose(texts, lambda count: self._translator.format("alert-and-more", count=count))
        if not await self._send(label, text):
            self._not_before = now + self._rest
            self._rest = min(self._rest * 2, LONGEST_REST)
            return 0
        self._not_before, self._rest = now + self._soon, FIRST_REST
        return told


def compose(texts: Sequence[str], more: Callable[[int], str]) -> tuple[str, int]:
    """The first texts whole, then first lines while they fit; and how many of them are in it.

    `more`: words for those that are not.
    """
    parts: list[str] = []
    room = TEXT_UNITS - LINES_UNITS
    for text in texts:
        if parts and len(text) > room:
            break
        parts.append(shorten(text, TEXT_UNITS - LINES_UNITS))
        room -= len(parts[-1]) + 2
    whole, room = len(parts), room + LINES_UNITS - 100
    lines: list[str] = []
    for text in texts[whole:]:
        line = shorten(text.partition("\n")[0], 200)
        if len(line) > room:
            break
        lines.append(line)
        room -= len(line) + 1
    told = whole + len(lines)
    if left := len(texts) - told:
        lines.append(more(left))
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(parts), told
