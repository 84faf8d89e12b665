"""A chat that is slow, full, away, or refuses, as the seed decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from dozor.alerting.delivery.transport import Delivered, Outcome, Rejected, RetryAfter, Unavailable, Unknown
from dozor.alerting.model.message import Message


class Chat:
    """Delivers most of the time. `well` True: always."""

    def __init__(self, luck: random.Random, note: Callable[[str], None]) -> None:
        self._luck = luck
        self._note = note
        self._count = 0
        self._mood: float = 0.0
        self._until = -1.0
        self.well = False
        self.received: list[str] = []

    @property
    def name(self) -> str:
        return "chat"

    async def send(self, message: Message) -> Outcome:
        await asyncio.sleep(self._luck.choice((0.01, 0.05, 0.2, 3.0)))
        now = asyncio.get_running_loop().time()
        if now > self._until:
            # A mood lasts for minutes to a day: well, shaky, away, refusing.
            self._mood = self._luck.random()
            self._until = now + self._luck.expovariate(1 / 3600)
        if self.well or self._mood < 0.7:
            return self._deliver(message)
        if self._mood < 0.85:
            return self._luck.choice(
                (
                    RetryAfter(self._luck.uniform(1, 60)),
                    Unavailable("503"),
                    Unknown("no answer"),
                    self._arrived_unknown(message),
                    self._deliver(message),
                )
            )
        return Unavailable("connection refused") if self._mood < 0.95 else Rejected("bot was kicked")

    def _deliver(self, message: Message) -> Outcome:
        self._count += 1
        text = message.plain.partition("\n")[0]
        self.received.append(text)
        del self.received[:-100]
        self._note(f"chat {text}")
        return Delivered(self._count)

    def _arrived_unknown(self, message: Message) -> Outcome:
        self._deliver(message)
        return Unknown("timed out after it was sent")


class Silent:
    """The console: nobody looks."""

    @property
    def name(self) -> str:
        return "console"

    async def send(self, message: Message) -> Outcome:
        return Delivered(None)
