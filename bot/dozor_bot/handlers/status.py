"""`/status` and `/status name`: a page of the list, and the card of one task."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.alerting.model.message import Message
from dozor.alerting.rendering.callback_data import CallbackData, Origin
from dozor.control.queries.status import TaskStatus, read_status
from dozor.control.queries.status_page import read_page
from dozor.control.task_names import Found, resolve
from dozor.storage.tables import runs, silences
from dozor_bot.handlers.choice import not_one
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.history import words_of
from dozor_bot.live_cards import OpenCard
from dozor_bot.responses import Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Pressed, Sender
from dozor_bot.views.alerts import silence_line
from dozor_bot.views.card import card_message
from dozor_bot.views.status import PAGE, View, read_view, status_message

RECENT = 24
"""Runs in a sparkline."""
SILENCES = 5


@dataclass(kw_only=True)
class ShowList(Response):
    """`in_place`: the message to change; None: a new one."""

    context: HandlerContext
    sender: Sender
    view: View
    in_place: int | None = None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        context = self.context
        words = words_of(context)
        quiet = [silence_line(words, row) for row in (await silences.read_active(context.pool))[:SILENCES]]
        async with context.pool.acquire() as connection:
            page = await read_page(connection, self.view.page, PAGE, failing=self.view.failing)
        shown = status_message(page, context.translator, context.timezone, self.view, quiet)
        if self.in_place is not None:
            context.live.close(self.sender.chat_id, self.in_place)
        await context.replies.show(self.sender, self.in_place, shown)


@dataclass(kw_only=True)
class ShowCard(Response):
    """One task. While it runs, the card is kept up to date."""

    context: HandlerContext
    sender: Sender
    task: str
    role: Role
    in_place: int | None = None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        context, to = self.context, self.sender
        card, task = await read_card(context, self.task, self.role)
        shown = await context.replies.show(to, self.in_place, card)
        if shown is not None and task is not None and task.running_for_s is not None:

            async def again() -> tuple[Message, bool]:
                newer, now = await read_card(context, self.task, self.role)
                return newer, now is not None and now.running_for_s is not None

            context.live.keep(OpenCard(to, shown, again, card))
        elif shown is not None:
            context.live.close(to.chat_id, shown)


async def read_card(context: HandlerContext, name: str, role: Role) -> tuple[Message, TaskStatus | None]:
    """The card, and the task as it is; an answer of its own for a task that is gone."""
    async with context.pool.acquire() as connection:
        report = await read_status(connection, name)
        recent = await runs.read_history(connection, name, RECENT)
    if not report.tasks:
        return context.say("refused-unknown", task=name), None
    [task] = report.tasks
    may_act = role >= Role.OPERATOR
    words = context.translator, context.timezone
    name_of = context.people.name_of
    return card_message(report, task, recent, *words, may_act=may_act, name_of=name_of), task


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: the list; with a name: the card."""
    to, query = command.sender, command.argument
    if not query:
        return ShowList(context=context, sender=to, view=View())
    meant = resolve(query, await context.names())
    if not isinstance(meant, Found):
        return not_one(context, to, query, meant, "status")
    return ShowCard(context=context, sender=to, task=meant.name, role=role)


async def on_press(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """A card in place of the menu; under an alert, as a reply to it."""
    in_place = pressed.sender.message_id if press.origin is Origin.MENU else None
    return ShowCard(context=context, sender=pressed.sender, task=press.task, role=role, in_place=in_place)


async def on_list(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """A page of the list in place of another."""
    view = read_view(press.action.partition(".")[2])
    return ShowList(context=context, sender=pressed.sender, view=view, in_place=pressed.sender.message_id)
