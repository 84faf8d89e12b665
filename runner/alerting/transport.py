"""The port through which messages leave, and the closed set of answers to a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runner.alerting.message import Message


@dataclass(frozen=True, slots=True)
class Delivered:
    """It arrived. `message_id` is the transport's own, None where it has none."""

    message_id: int | None


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Told to wait `seconds` before anything else to this chat. Certainly not delivered."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ChatMoved:
    """The group became the supergroup `chat_id`. Certainly not delivered; the transport goes there from now on."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused: certainly not delivered, and the same again will be refused until a person acts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Certainly not delivered, and worth trying again: connection refused, a 5xx, a bad gateway."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, and no answer: it may have arrived. The next attempt is marked as a possible duplicate."""

    reason: str


Outcome = Delivered | RetryAfter | ChatMoved | Rejected | Unavailable | Unknown


class Transport(Protocol):
    """Delivers one message. Never raises for what the other side does: every answer is an `Outcome`."""

    @property
    def name(self) -> str: ...

    async def send(self, message: Message) -> Outcome: ...
