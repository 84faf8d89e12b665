"""The transport interface, and the closed set of outcomes of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, assert_never, runtime_checkable

from dozor.alerting.model.message import Document, Message


@dataclass(frozen=True, slots=True)
class Delivered:
    """It arrived. `message_id` is the transport's own, None where it has none."""

    message_id: int | None


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """To wait `seconds` before any other call to this chat. Certainly not delivered."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ChatMoved:
    """The group became the supergroup `chat_id`. Certainly not delivered; what follows goes there."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused: certainly not delivered, and the same again will be refused until a person acts."""

    reason: str
    of_message: bool = False
    """The message may be the cause and not the chat: it was refused in every form."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Certainly not delivered, and worth trying again: connection refused, a 5xx, a bad gateway."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, and no answer: it may have arrived. The next attempt is marked as a possible duplicate."""

    reason: str


Outcome = Delivered | RetryAfter | ChatMoved | Rejected | Unavailable | Unknown


def outcome_name(outcome: Outcome) -> str:
    """As metrics call it."""
    match outcome:
        case Delivered():
            return "delivered"
        case RetryAfter():
            return "retry_after"
        case ChatMoved():
            return "chat_moved"
        case Rejected():
            return "rejected"
        case Unavailable():
            return "unavailable"
        case Unknown():
            return "unknown"
        case _:
            assert_never(outcome)


OUTCOME_NAMES = ("delivered", "retry_after", "chat_moved", "rejected", "unavailable", "unknown")
"""All there are."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The message to be edited does not exist any more, or may not be edited."""

    reason: str


EditOutcome = Outcome | Gone


class Transport(Protocol):
    """Delivers one message. No answer or failure of the other side raises: each is an `Outcome`."""

    @property
    def name(self) -> str: ...

    async def send(self, message: Message) -> Outcome: ...


@runtime_checkable
class EditingTransport(Transport, Protocol):
    """Can change what it has sent, without a sound."""

    async def edit(self, message: Message, message_id: int) -> EditOutcome: ...


@runtime_checkable
class AttachingTransport(Transport, Protocol):
    """Can send a file under a message that has arrived, without a sound."""

    async def attach(
        self, document: Document, reply_to: int | None, *, possible_duplicate: bool
    ) -> Outcome: ...


@runtime_checkable
class MovingTransport(Transport, Protocol):
    """Goes to a chat that can become another one."""

    def move(self, chat_id: int) -> None:
        """It has become `chat_id`: go there from now on."""


@dataclass(frozen=True, slots=True)
class Place:
    """What message ids belong to. None: not known."""

    chat_id: int
    thread_id: int | None = None
    """0: the chat itself."""
    bot_id: int | None = None


@runtime_checkable
class PlacedTransport(Transport, Protocol):
    """Its message ids are valid in one place only."""

    @property
    def place(self) -> Place:
        """Where messages go now."""


@runtime_checkable
class TopicTransport(Transport, Protocol):
    """Goes to a topic of a chat, which can be closed or deleted."""

    topic_lost: bool
    """It goes to the chat itself, with a note; set by itself when the topic refuses a message."""


NAME = "second channel"
"""As `dozor.notifications.transport` calls it."""
