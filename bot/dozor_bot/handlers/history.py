"""`/history`, `/errors`, `/incidents`, `/audit`: pages of the past, turned in place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiogram.types import BufferedInputFile

from dozor.alerting.model.message import Message, Span
from dozor.alerting.rendering.callback_data import CallbackData, Origin
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded
from dozor.control.queries.history import (
    read_audit,
    read_errors,
    read_history,
    read_incidents,
    read_traceback_of,
    read_traceback_of_incident,
)
from dozor.control.task_names import Found, resolve
from dozor.storage import retention
from dozor_bot.handlers.choice import CHOICES, not_one, task_buttons
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Pressed, Sender
from dozor_bot.views.history import (
    PAGE,
    ViewContext,
    audit_message,
    errors_message,
    history_message,
    incidents_message,
    traceback_message,
)

LAST_PAGE = 500
VIEW_ONLY = "view"
"""Of a page of incidents: without buttons that act."""
CHOOSE = {"history": "choose-history", "errors": "choose-errors", "chart": "choose-chart"}

Build = Callable[[HandlerContext, str, int], Awaitable[Message]]


@dataclass(kw_only=True)
class ShowPage(Response):
    """`in_place`: the message to change; None: a new one."""

    context: HandlerContext
    sender: Sender
    build: Build
    target: str = ""
    page: int = 0
    in_place: int | None = None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        message = await self.build(self.context, self.target, self.page)
        if self.in_place is not None:
            self.context.live.close(self.sender.chat_id, self.in_place)
        await self.context.replies.show(self.sender, self.in_place, message)


@dataclass(kw_only=True)
class SendTraceback(Response):
    """The whole traceback, as a file."""

    context: HandlerContext
    sender: Sender
    run_id: str = ""
    incident_id: int | None = None
    """Of its last failure, instead of a run."""

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        context, to = self.context, self.sender
        async with context.pool.acquire() as connection:
            if self.incident_id is None:
                found = await read_traceback_of(connection, self.run_id)
            else:
                found = await read_traceback_of_incident(connection, self.incident_id)
        if found is None:
            await context.replies.send(to, context.say("traceback-gone", days=retention.KEEP_DAYS))
            return
        file = BufferedInputFile(found.text.encode("utf-8", "replace"), f"{found.task}.txt")
        words = words_of(context)
        caption = context.say(
            "traceback-of", task=found.task, error=found.error_type, at=words.clock(found.at)
        )
        await context.replies.send_file(to, file, caption, traceback_message(words, caption, found.text))


async def _history(context: HandlerContext, task: str, page: int) -> Message:
    async with context.pool.acquire() as connection:
        events = await read_history(connection, task, PAGE + 1, page * PAGE)
    return history_message(words_of(context), task, events[:PAGE], page, more=len(events) > PAGE)


async def _errors(context: HandlerContext, task: str, page: int) -> Message:
    async with context.pool.acquire() as connection:
        groups = await read_errors(connection, task)
    return errors_message(words_of(context), task, groups)


async def _incidents(context: HandlerContext, target: str, page: int) -> Message:
    async with context.pool.acquire() as connection:
        lines, open_count, total = await read_incidents(connection, PAGE, page * PAGE)
    return incidents_message(
        words_of(context), lines, page, open_count=open_count, total=total, may_act=target != VIEW_ONLY
    )


async def incidents_after(context: HandlerContext, result: str) -> Message:
    """The first page of incidents, with what came of a button under it."""
    page = await _incidents(context, "", 0)
    return replace(page, spans=bounded((Span(result + "\n\n"), *page.spans), MESSAGE_UNITS))


async def _storm(context: HandlerContext, target: str, page: int) -> Message:
    """Everything behind a storm's digest."""
    async with context.pool.acquire() as connection:
        lines, open_count, total = await read_incidents(connection, PAGE, page * PAGE, _number(target))
    return incidents_message(
        words_of(context), lines, page, open_count=open_count, total=total, turns=("storm", target)
    )


async def _audit(context: HandlerContext, target: str, page: int) -> Message:
    async with context.pool.acquire() as connection:
        lines = await read_audit(connection, PAGE + 1, page * PAGE)
    return audit_message(words_of(context), lines[:PAGE], page, more=len(lines) > PAGE)


PAGES: dict[str, Build] = {
    "history": _history,
    "errors": _errors,
    "incidents": _incidents,
    "storm": _storm,
    "audit": _audit,
}


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """`/incidents` and `/audit`: at once."""
    target = VIEW_ONLY if command.name == "incidents" and role < Role.OPERATOR else ""
    return ShowPage(context=context, sender=command.sender, build=PAGES[command.name], target=target)


async def on_named_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """`/history` and `/errors`: of one task."""
    task = await one_task(context, command.sender, command.name, command.argument)
    if isinstance(task, Response):
        return task
    return ShowPage(context=context, sender=command.sender, build=PAGES[command.name], target=task)


async def on_press(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """Another page in place of this one; under an alert, a reply to it."""
    action, _, written = press.action.partition(".")
    page = int(written) if written.isascii() and written.isdigit() and len(written) < 4 else 0
    return ShowPage(
        context=context,
        sender=pressed.sender,
        build=PAGES[action],
        target=VIEW_ONLY if action == "incidents" and role < Role.OPERATOR else press.task,
        page=min(page, LAST_PAGE),
        in_place=pressed.sender.message_id if press.origin is Origin.MENU else None,
    )


async def on_trace(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    return SendTraceback(context=context, sender=pressed.sender, run_id=press.task)


async def on_incident_trace(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """Under an alert: `press.task` is the incident's id."""
    return SendTraceback(context=context, sender=pressed.sender, incident_id=_number(press.task))


async def one_task(context: HandlerContext, to: Sender, action: str, query: str) -> str | Response:
    """The task that `query` means, or what to ask back. `action`: what a press on an answer does."""
    names = await context.names()
    if not query:
        question = context.translator.format(CHOOSE[action] if names else "choose-nothing")
        if len(names) > CHOICES:
            question += "\n" + context.translator.format("choose-more", count=CHOICES, command=action)
        return context.answer(to, question, task_buttons(names, action))
    meant = resolve(query, names)
    return meant.name if isinstance(meant, Found) else not_one(context, to, query, meant, action)


def words_of(context: HandlerContext) -> ViewContext:
    return ViewContext(context.translator, context.timezone, context.clock.now(), context.people)


def _number(text: str) -> int:
    """0, which no incident has, for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
