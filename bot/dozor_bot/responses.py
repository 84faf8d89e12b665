"""Responses to an update: writes in the transaction of the update's id, then the answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.control.commands import audit
from dozor.control.commands.actor import Actor, Source
from dozor.storage.postgres.pool import Connection
from dozor_bot.security.flood import Attempt
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.replies import Replies

DENIED = "denied"
REFUSAL = "refusal"
"""In the state of an answer: what it says."""


class Response:
    """The base: does nothing."""

    def recipient(self) -> Sender | None:
        """Called for a failure; None: nothing is."""
        return None

    @property
    def owed_for(self) -> Effort:
        """How long its answer is worth sending."""
        return Effort.READ

    def state(self) -> dict[str, Any] | None:
        """After `write`: what another process rebuilds the answer from; None: nothing was submitted."""
        return None

    async def write(self, connection: Connection) -> None:
        """Inside the transaction that stores the update's id: happens exactly once. No network here."""

    async def send(self) -> None:
        """After the commit: answers. If the process is killed meanwhile, the next one sends them."""


@dataclass(kw_only=True)
class Reply(Response):
    """One message to the sender."""

    sender: Sender
    replies: Replies
    message: Message
    effort: Effort = Effort.READ

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        await self.replies.send(self.sender, self.message, self.effort)


@dataclass(kw_only=True)
class Refusal(Reply):
    """Says that a command is not carried out. Another process sends the same words: it decides nothing anew.

    The role, the tasks or the rate limit may be others by then, and a command that was refused would be
    carried out.
    """

    @property
    def owed_for(self) -> Effort:
        return self.effort

    def state(self) -> dict[str, Any]:
        return {
            REFUSAL: {
                "spans": [asdict(span) for span in self.message.spans],
                "buttons": [[asdict(button) for button in row] for row in self.message.buttons],
                "effort": self.effort.name,
            }
        }

    @staticmethod
    def of(answer: Reply) -> Refusal:
        return Refusal(
            sender=answer.sender, replies=answer.replies, message=answer.message, effort=answer.effort
        )

    @staticmethod
    def restored(replies: Replies, sender: Sender, state: Mapping[str, Any]) -> Refusal:
        """Of `state`, by another process."""
        kept = state[REFUSAL]
        spans = tuple(Span(one["text"], Style(one["style"]), one["user_id"]) for one in kept["spans"])
        buttons = tuple(tuple(Button(**one) for one in row) for row in kept["buttons"])
        message = Message(spans=spans, buttons=buttons)
        return Refusal(sender=sender, replies=replies, message=message, effort=Effort[kept["effort"]])


@dataclass(kw_only=True)
class Edit(Response):
    """A message that takes the place of another one."""

    sender: Sender
    replies: Replies
    message_id: int
    message: Message

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        await self.replies.show(self.sender, self.message_id, self.message)


@dataclass(kw_only=True)
class Both(Response):
    """One after the other. `then` is what a failure is reported for."""

    first: Response
    then: Response

    def recipient(self) -> Sender | None:
        return self.then.recipient()

    @property
    def owed_for(self) -> Effort:
        return self.then.owed_for

    def state(self) -> dict[str, Any] | None:
        return self.then.state()

    async def write(self, connection: Connection) -> None:
        await self.first.write(connection)
        await self.then.write(connection)

    async def send(self) -> None:
        await self.first.send()
        await self.then.send()


@dataclass(kw_only=True)
class Notice(Response):
    """News of a chat, which nobody is answered."""

    handle: Callable[[], Awaitable[None]]

    async def send(self) -> None:
        await self.handle()


@dataclass(kw_only=True)
class Denial(Response):
    """An audit row for `count` attempts. A stranger gets no answer; a known person may get `answer`."""

    attempt: Attempt
    count: int
    answer: Reply | None = None

    def recipient(self) -> Sender | None:
        return None if self.answer is None else self.answer.recipient()

    @property
    def owed_for(self) -> Effort:
        return Effort.READ if self.answer is None else self.answer.effort

    def state(self) -> dict[str, Any] | None:
        return None if self.answer is None else Refusal.of(self.answer).state()

    async def write(self, connection: Connection) -> None:
        attempt = self.attempt
        actor = Actor(Source.TELEGRAM, str(attempt.user_id or "anonymous"), place=str(attempt.chat_id))
        result = attempt.result if self.count == 1 else f"{attempt.result}, {self.count} attempts"
        await audit.record(connection, actor, attempt.action, attempt.target, result)

    async def send(self) -> None:
        if self.answer is not None:
            await self.answer.send()


@dataclass(kw_only=True)
class Recorded(Reply):
    """One message to the sender, and an audit row of `action`."""

    action: str

    async def write(self, connection: Connection) -> None:
        await audit.record(connection, actor_of(self.sender), self.action, "", "answered")


def actor_of(sender: Sender) -> Actor:
    """The person, and the chat they were in."""
    return Actor(Source.TELEGRAM, str(sender.user_id), place=str(sender.chat_id))
