"""Transports that answer as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dozor.alerting.delivery.transport import Delivered, Outcome
from dozor.alerting.model.message import Message

Answer = Outcome | Callable[[Message], Outcome]


class Scripted:
    """Answers from `script`, in order, then with Delivered. What was delivered is in `delivered`."""

    def __init__(self, *script: Answer, name: str = "telegram") -> None:
        self.script = list(script)
        self.attempts: list[str] = []
        self.delivered: list[str] = []
        self.hang: asyncio.Event | None = None
        """Set: an attempt is made, and its answer never comes."""
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def send(self, message: Message) -> Outcome:
        self.attempts.append(message.plain)
        if self.hang is not None:
            self.hang.set()
            await asyncio.Event().wait()
        answer = self.script.pop(0) if self.script else Delivered(len(self.delivered) + 1)
        outcome = answer if not callable(answer) else answer(message)
        if isinstance(outcome, Delivered):
            self.delivered.append(message.plain)
        return outcome
