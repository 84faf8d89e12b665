"""A chat in memory: messages that can be edited, at the moments of a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Delivered, EditOutcome, Gone, Outcome
from dozor.alerting.model.message import Message
from dozor.alerting.rendering.phrases import NameOf, no_names
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.language import Translator
from tests.alerting.room import Room
from tests.alerting.scripted import Scripted


@dataclass
class Shown:
    """One message: `texts` are all it has shown, `versions` when and how, the first one first."""

    at: float
    message: Message
    texts: list[str] = field(default_factory=list)
    versions: list[tuple[float, Message]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.texts[-1]

    @property
    def header(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def actions(self) -> list[str]:
        return [button.data for row in self.message.buttons for button in row]


class Chat(Scripted):
    """Answers from the script, like its parent; `edit_script` for edits."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self.messages: list[Shown] = []
        self.edit_script: list[EditOutcome] = []
        self.calls: list[float] = []

    async def send(self, message: Message) -> Outcome:
        self.calls.append(self._room.clock.at)
        outcome = await super().send(message)
        if isinstance(outcome, Delivered):
            at = self._room.clock.at
            self.messages.append(Shown(at, message, [message.plain], [(at, message)]))
            return Delivered(len(self.messages))
        return outcome

    async def edit(self, message: Message, message_id: int) -> EditOutcome:
        self.calls.append(self._room.clock.at)
        if self.edit_script:
            return self.edit_script.pop(0)
        if message_id > len(self.messages):
            return Gone("message to edit not found")
        shown = self.messages[message_id - 1]
        shown.message = replace(message, reply_to=shown.message.reply_to, silent=shown.message.silent)
        shown.texts.append(message.plain)
        shown.versions.append((self._room.clock.at, message))
        return Delivered(None)


class Post:
    """The room's messages on their way to one group. `options`: of the dispatcher."""

    def __init__(
        self,
        room: Room,
        chat_id: int = -100,
        language: str = "ru",
        name_of: NameOf = no_names,
        **options: Any,
    ) -> None:
        self.room = room
        self.chat = Chat(room)
        self.console = Scripted(name="console")
        words = MessageRenderer(
            Translator(language),
            ZoneInfo("UTC"),
            room.clock,
            lambda number: room.watch.silences.get(number),
            name_of,
        )
        self.dispatcher = Dispatcher(room.pool, self.console, self.console, words, room.clock, **options)
        self.dispatcher.set_transport(self.chat, chat_id=chat_id)

    async def deliver(self, seconds: float = 0.0) -> None:
        """All that can leave within `seconds`, which pass."""
        await self.room.journal.write()
        until = self.room.clock.at + seconds
        while True:
            pause = await self.dispatcher.deliver_next()
            if pause is None or self.room.clock.at + pause > until:
                break
            self.room.clock.at += pause
        self.room.clock.at = max(self.room.clock.at, until)

    @property
    def messages(self) -> list[Shown]:
        return self.chat.messages

    @property
    def headers(self) -> list[str]:
        return [shown.header for shown in self.messages]
