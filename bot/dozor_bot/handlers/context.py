"""The handler context: the dependencies that every handler is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from dozor.alerting.model.message import Button, Message, Span
from dozor.alerting.policy.oncall import OnCall
from dozor.clock import Clock, SteadyClock
from dozor.control.queries.status import StatusReport, read_names, read_status
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor_bot.chats import Chats
from dozor_bot.late_commands import LateCommands
from dozor_bot.live_cards import LiveCards
from dozor_bot.people import People, language_of
from dozor_bot.responses import Edit, Reply
from dozor_bot.security.confirmations import Confirmations
from dozor_bot.security.totp import TotpGuard
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.replies import Replies
from dozor_bot.telegram.server_time import ServerTime


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """`pool`, the words and the way back to people."""

    pool: Pool
    translator: Translator
    timezone: tzinfo
    replies: Replies
    clock: Clock
    live: LiveCards
    codes: TotpGuard = field(default_factory=TotpGuard)
    confirmations: Confirmations = field(default_factory=Confirmations)
    oncall: OnCall = field(default_factory=OnCall)
    people: People = field(default_factory=People)
    chats: Chats = field(default_factory=lambda: Chats(SteadyClock(), None))
    server_time: ServerTime | None = None
    """Telegram's clock; None: the host's is taken for it."""
    per_person: bool = True
    """Answers are in the person's own language (`telegram.language`)."""
    late_commands: LateCommands = field(default_factory=LateCommands)

    def telegram_now(self) -> float:
        """Seconds since the epoch, by the clock that dates messages."""
        return self.clock.now() if self.server_time is None else self.server_time.now()

    def in_language_of(self, sender: Sender) -> HandlerContext:
        """In this person's language; in the configured one where Telegram does not give theirs."""
        if not self.per_person:
            return self
        language = language_of(sender, self.translator.language)
        if language is self.translator.language:
            return self
        return replace(self, translator=Translator(language))

    async def report(self, task: str | None = None) -> StatusReport:
        """Of all tasks, or of one."""
        async with self.pool.acquire() as connection:
            return await read_status(connection, task)

    async def names(self) -> list[str]:
        """Of all configured tasks, in their order."""
        async with self.pool.acquire() as connection:
            return await read_names(connection)

    def say(self, key: str, **args: str | int | float) -> Message:
        """The text of `key` as a message."""
        return message(self.translator.format(key, **args))

    def answer(
        self,
        to: Sender,
        text: str,
        buttons: Sequence[Sequence[Button]] = (),
        effort: Effort = Effort.READ,
    ) -> Reply:
        """One plain message."""
        return Reply(sender=to, replies=self.replies, message=message(text, buttons), effort=effort)

    def in_place(self, to: Sender, message_id: int, new: Message) -> Edit:
        """One message in place of another."""
        return Edit(sender=to, replies=self.replies, message_id=message_id, message=new)


def message(text: str, buttons: Sequence[Sequence[Button]] = ()) -> Message:
    return Message(spans=(Span(text),), buttons=tuple(tuple(row) for row in buttons))
