"""What an update leads to: writes that share a transaction with the update's id, then the answers."""

from __future__ import annotations

from dataclasses import dataclass

from bot.incoming import Sender
from bot.replies import Replies
from runner.alerting.message import Message
from runner.control import audit
from runner.control.actor import Actor, Source
from runner.storage.pool import Connection

DENIED = "denied"


class Work:
    """The base: does nothing."""

    def hears(self) -> Sender | None:
        """Who is told of a failure; None: nobody."""
        return None

    async def write(self, connection: Connection) -> None:
        """Inside the transaction that stores the update's id: happens exactly once. No network here."""

    async def finish(self) -> None:
        """After the commit: answers. Lost if the process is killed meanwhile."""


@dataclass(kw_only=True)
class Answer(Work):
    """One message to the sender."""

    sender: Sender
    replies: Replies
    message: Message

    def hears(self) -> Sender:
        return self.sender

    async def finish(self) -> None:
        await self.replies.send(self.sender, self.message)


@dataclass(kw_only=True)
class Denial(Work):
    """An audit row. A stranger gets no answer; a known person without the role gets `answer`."""

    user_id: int | None
    place: int
    action: str
    attempts: int
    answer: Answer | None = None

    async def write(self, connection: Connection) -> None:
        actor = Actor(Source.TELEGRAM, str(self.user_id or "anonymous"), place=str(self.place))
        result = DENIED if self.attempts == 1 else f"{DENIED}, {self.attempts} attempts"
        await audit.record(connection, actor, self.action, "", result)

    async def finish(self) -> None:
        if self.answer is not None:
            await self.answer.finish()


def actor_of(sender: Sender) -> Actor:
    """The person, and the chat they were in."""
    return Actor(Source.TELEGRAM, str(sender.user_id), place=str(sender.chat_id))
