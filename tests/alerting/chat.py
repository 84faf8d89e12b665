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
from tests.alerting.scripted import Scripted
from tests.alerting.stage import Stage


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

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.messages: list[Shown] = []
        self.edit_script: list[EditOutcome] = []
        self.calls: list[float] = []

    async def send(self, message: Message) -> Outcome:
        self.calls.append(self._stage.clock.at)
        outcome = await super().send(message)
        if isinstance(outcome, Delivered):
            at = self._stage.clock.at
            self.messages.append(Shown(at, message, [message.plain], [(at, message)]))
            return Delivered(len(self.messages))
        return outcome

    async def edit(self, message: Message, message_id: int) -> EditOutcome:
        self.calls.append(self._stage.clock.at)
        if self.edit_script:
            return self.edit_script.pop(0)
        if message_id > len(self.messages):
            return Gone("message to edit not found")
        shown = self.messages[message_id - 1]
        shown.message = replace(message, reply_to=shown.message.reply_to, silent=shown.message.silent)
        shown.texts.append(message.plain)
        shown.versions.append((self._stage.clock.at, message))
        return Delivered(None)


class Post:
    """The stage's messages on their way to one group. `options`: of the dispatcher."""

    def __init__(
        self,
        stage: Stage,
        chat_id: int = -100,
        language: str = "ru",
        name_of: NameOf = no_names,
        **options: Any,
    ) -> None:
        self.stage = stage
        self.chat = Chat(stage)
        self.console = Scripted(name="console")
        words = MessageRenderer(
            Translator(language),
            ZoneInfo("UTC"),
            stage.clock,
            lambda number: stage.manager.silences.get(number),
            name_of,
        )
        self.dispatcher = Dispatcher(stage.pool, self.console, self.console, words, stage.clock, **options)
        self.dispatcher.set_transport(self.chat, chat_id=chat_id)

    async def deliver(self, seconds: float = 0.0) -> None:
        """All that can leave within `seconds`, which pass."""
        await self.stage.journal.write()
        until = self.stage.clock.at + seconds
        while True:
            pause = await self.dispatcher.deliver_next()
            if pause is None or self.stage.clock.at + pause > until:
                break
            self.stage.clock.at += pause
        self.stage.clock.at = max(self.stage.clock.at, until)

    @property
    def messages(self) -> list[Shown]:
        return self.chat.messages

    @property
    def headers(self) -> list[str]:
        return [shown.header for shown in self.messages]
