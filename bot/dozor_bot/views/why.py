"""Why messages about an incident were sent or not, as a message of the bot. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.decisions import PlaceOf, why_lines, why_title
from dozor.alerting.rendering.phrases import Phrasebook
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded
from dozor.control.queries.history import IncidentLine
from dozor.control.queries.why import Why
from dozor_bot.views.history import SIGNS, ViewContext

PAGE = 15
"""Decisions on one page, the oldest first."""


def why_message(words: ViewContext, found: Why, page: int, place_of: PlaceOf) -> Message:
    """One page; one beyond the last is the last."""
    say = Phrasebook(words.translator, words.timezone, words.now, found.names.get)
    lines = why_lines(say, found.decisions, place_of)
    pages = max(1, -(-len(lines) // PAGE))
    page = min(page, pages - 1)
    spans = [Span(why_title(say, found.id, found.task, found.kind), Style.BOLD)]
    if found.left_out and page == 0:
        spans.append(Span("\n" + say("why-left-out", count=found.left_out)))
    if not lines:
        spans.append(Span("\n" + say("why-nothing")))
    spans += [Span(f"\n{line}") for line in lines[page * PAGE : (page + 1) * PAGE]]
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=_turns(found.id, page, pages))


def why_choice(words: ViewContext, lines: Sequence[IncidentLine]) -> Message:
    """Of which incident?"""
    if not lines:
        return Message(spans=(Span(words.text("why-no-incidents")),))
    rows = []
    for line in lines:
        sign = SIGNS.get(line.severity, "•") if line.is_open else "✅"
        subject = line.task or words.text("incident-of-runner")
        number = words.text("number", id=str(line.id))
        label = f"{sign} {number} · {subject} · {words.kind(line.kind)}"
        rows.append((Button(label, encode(Origin.MENU, "why", str(line.id))),))
    return Message(spans=(Span(words.text("choose-why")),), buttons=tuple(rows))


def _turns(number: int, page: int, pages: int) -> tuple[tuple[Button, ...], ...]:
    """To the older and the newer page; 🔄 shows what has been decided meanwhile."""
    row = [Button("🔄", encode(Origin.MENU, f"why.{page}", str(number)))]
    if page > 0:
        row.insert(0, Button("◀️", encode(Origin.MENU, f"why.{page - 1}", str(number))))
    if page + 1 < pages:
        row.append(Button("▶️", encode(Origin.MENU, f"why.{page + 1}", str(number))))
    return (tuple(row),)
