"""Questions with buttons: which task?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from dozor.alerting.model.message import Button
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.control.task_names import Ambiguous, NotFound
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Reply
from dozor_bot.telegram.incoming import Sender

CHOICES = 20
QUERY_UNITS = 60


def not_one(
    context: HandlerContext, to: Sender, query: str, meant: Ambiguous | NotFound, action: str
) -> Reply:
    """The words do not name one task: which one is meant? `action` is what a press will do."""
    text = context.translator.format
    shown = shorten(one_line(query), QUERY_UNITS)
    match meant:
        case Ambiguous(names):
            return context.answer(to, text("name-ambiguous", query=shown), task_buttons(names, action))
        case NotFound(()):
            return context.answer(to, text("name-unknown", query=shown))
        case NotFound(names):
            return context.answer(to, text("name-unknown-like", query=shown), task_buttons(names, action))
        case _:
            assert_never(meant)


def task_buttons(names: Iterable[str], action: str) -> list[list[Button]]:
    """One a row, the first `CHOICES` of them."""
    return [[Button(name, encode(Origin.MENU, action, name))] for name in list(names)[:CHOICES]]
