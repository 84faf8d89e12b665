"""Submits one command about alerts to the command queue, and reports its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dozor.alerting.model.message import Message, Span
from dozor.control.commands.commands import AlertCommand, CommandReason, submit, wait
from dozor.control.queries.history import read_incident
from dozor.storage.postgres.pool import Connection
from dozor.storage.tables import silences
from dozor_bot.handlers import acting
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Response, actor_of
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.incoming import Sender
from dozor_bot.views.actions import shown
from dozor_bot.views.alerts import alert_result, silence_beside, undo_of
from dozor_bot.views.history import ViewContext


@dataclass(kw_only=True)
class AlertAction(Response):
    """`target`: see `AlertCommand`. `under_alert`: its own message will show what is done."""

    context: HandlerContext
    sender: Sender
    name: AlertCommand
    target: str
    seconds: float | None = None
    reason: str = ""
    under_alert: bool = False
    in_place: int | None = None
    relist: Callable[[str], Awaitable[Message]] | None = None
    """Builds the list that the button belongs to, with the result above it."""
    command_id: int = 0

    @property
    def owed_for(self) -> Effort:
        return Effort.ACTION

    def recipient(self) -> Sender:
        return self.sender

    def state(self) -> dict[str, Any]:
        return {
            "alert": self.name.value,
            "target": self.target,
            "seconds": self.seconds,
            "under_alert": self.under_alert,
            "in_place": self.in_place,
            "command_id": self.command_id,
        }

    @staticmethod
    def restored(context: HandlerContext, sender: Sender, state: Mapping[str, Any]) -> AlertAction:
        """Of `state`, by another process; the list that the button belonged to is a plain answer then."""
        return AlertAction(
            context=context,
            sender=sender,
            name=AlertCommand(state["alert"]),
            target=state["target"],
            seconds=state["seconds"],
            under_alert=state["under_alert"],
            in_place=state["in_place"],
            command_id=state["command_id"],
        )

    async def write(self, connection: Connection) -> None:
        args: dict[str, object] = {} if self.seconds is None else {"seconds": self.seconds}
        if self.reason:
            args["reason"] = self.reason
        self.command_id = await submit(connection, self.name, self.target, actor_of(self.sender), args=args)

    async def send(self) -> None:
        context, to = self.context, self.sender
        result = await wait(context.pool, self.command_id, timeout=acting.RESULT_TIMEOUT)
        if self.under_alert and result.reason is CommandReason.DONE:
            return
        words = ViewContext(context.translator, context.timezone, context.clock.now(), context.people)
        text = alert_result(words, self.name, self.target, self.seconds, result.reason)
        if self.name is AlertCommand.ACK and result.reason is CommandReason.ALREADY:
            text = await self._who_was_first(words) or text
        if result.reason is CommandReason.DONE and not to.private and to.user_name:
            text = f"{text} · {shown(to.user_name)}"
        if (beside := await self._silence_beside(words, result.reason)) is not None:
            text = f"{text}\n{beside}"
        buttons = undo_of(words, self.name, self.target) if result.reason is CommandReason.DONE else ()
        answer = Message(spans=(Span(text),), buttons=buttons)
        if self.relist is not None:
            answer = await self.relist(text)
        await context.replies.show(to, self.in_place, answer, Effort.ACTION)

    async def _silence_beside(self, words: ViewContext, reason: CommandReason) -> str | None:
        """A silence that goes on whatever this command has changed."""
        if reason not in (CommandReason.DONE, CommandReason.ALREADY):
            return None
        match self.name:
            case AlertCommand.SILENCE:
                until = float("inf") if self.seconds is None else words.now + self.seconds
            case AlertCommand.UNSILENCE:
                until = words.now
            case AlertCommand.ACK | AlertCommand.UNACK | AlertCommand.ONCALL:
                return None
        async with self.context.pool.acquire() as connection:
            rows = await silences.read_active(connection)
            number = self.target.removeprefix("#")
            named = self.target.startswith("#") and number.isdecimal()
            incident = await read_incident(connection, int(number)) if named else None
        return silence_beside(words, rows, self.target, None if incident is None else incident.task, until)

    async def _who_was_first(self, words: ViewContext) -> str | None:
        async with self.context.pool.acquire() as connection:
            incident = await read_incident(connection, int(self.target))
        if incident is None or incident.acknowledged_by is None:
            return None
        name = words.people.called(incident.acknowledged_by, words.translator)
        return words.text("ack-already-by", id=incident.id, name=name)
