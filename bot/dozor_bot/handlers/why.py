"""`/why`: why messages about an incident were sent or not, a page at a time."""

from __future__ import annotations

from dozor.alerting.model.message import Message
from dozor.alerting.rendering.callback_data import CallbackData, Origin
from dozor.control.queries.history import read_incidents
from dozor.control.queries.why import read_why
from dozor_bot.handlers.choice import CHOICES
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.history import ShowPage, words_of
from dozor_bot.responses import Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Pressed
from dozor_bot.views.history import NO_INCIDENT
from dozor_bot.views.why import why_choice, why_message

LAST_PAGE = 99


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: of which incident? The open ones and the last others are offered."""
    number = command.argument.lstrip("#№")
    if command.argument and not _is_number(number):
        return context.answer(command.sender, context.translator.format("why-number"))
    target = number or NO_INCIDENT
    return ShowPage(context=context, sender=command.sender, build=_page, target=target)


async def on_press(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """Another incident or page in place of this one; under an alert, a reply to it."""
    written = press.action.partition(".")[2]
    page = int(written) if written.isascii() and written.isdigit() and len(written) < 4 else 0
    return ShowPage(
        context=context,
        sender=pressed.sender,
        build=_page,
        target=press.task,
        page=min(page, LAST_PAGE),
        in_place=pressed.sender.message_id if press.origin is Origin.MENU else None,
    )


async def _page(context: HandlerContext, target: str, page: int) -> Message:
    words = words_of(context)
    async with context.pool.acquire() as connection:
        if not _is_number(target):
            lines, _, _ = await read_incidents(connection, CHOICES)
            return why_choice(words, lines)
        found = await read_why(connection, int(target), context.clock.now())
    if found is None:
        return context.say("why-no-incident", id=str(int(target)))
    places = context.oncall.places
    return why_message(words, found, page, lambda key: places.get(key) or context.people.place_name(key))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 18
