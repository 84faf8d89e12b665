"""What every handler works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from bot.incoming import Sender
from bot.replies import Replies
from bot.work import Answer
from runner.alerting.message import Button, Message, Span
from runner.control.status import StatusReport, read_status
from runner.language.translator import Translator
from runner.storage.pool import Pool


@dataclass(frozen=True, slots=True)
class Desk:
    """`pool`, the words and the way back to people."""

    pool: Pool
    translator: Translator
    timezone: tzinfo
    replies: Replies

    async def report(self) -> StatusReport:
        async with self.pool.acquire() as connection:
            return await read_status(connection)

    def answer(self, to: Sender, text: str, buttons: Sequence[Sequence[Button]] = ()) -> Answer:
        """One plain message."""
        return Answer(sender=to, replies=self.replies, message=message(text, buttons))


def message(text: str, buttons: Sequence[Sequence[Button]] = ()) -> Message:
    return Message(spans=(Span(text),), buttons=tuple(tuple(row) for row in buttons))
