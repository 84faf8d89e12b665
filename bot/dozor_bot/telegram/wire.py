"""Converts a `Message` to the Bot API's form: text, entities with UTF-16 offsets, an inline keyboard.

Never a parse_mode: what nobody parses cannot fail to parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dozor.alerting.model.message import Button, Message, Style
from dozor.alerting.model.safe_text import ELLIPSIS, REPLACEMENT, clean, one_line, shorten, utf16_length
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded

Json = dict[str, Any]

NO_PREVIEW: Json = {"is_disabled": True}
BARE_UNITS = 300
LABEL_UNITS = 120
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_ENTITY_TYPES = {Style.BOLD: "bold", Style.ITALIC: "italic", Style.CODE: "code", Style.PRE: "pre"}

_NOTHING_INSIDE = (Style.CODE, Style.PRE)
# https://core.telegram.org/bots/api#formatting-options: they contain no other entities.


def to_text(message: Message) -> tuple[str, list[Json]]:
    """The text, never empty nor too long, and its entities."""
    parts: list[str] = []
    entities: list[Json] = []
    offset = 0
    for span in bounded(message.spans, MESSAGE_UNITS):
        text = _UNSENDABLE.sub(REPLACEMENT, span.text)
        length = utf16_length(text)
        kind = _ENTITY_TYPES.get(span.style)
        if kind is not None and text.strip():
            entities.append({"type": kind, "offset": offset, "length": length})
        if span.user_id is not None and text.strip() and span.style not in _NOTHING_INSIDE:
            user = {"id": span.user_id}
            entities.append({"type": "text_mention", "offset": offset, "length": length, "user": user})
        parts.append(text)
        offset += length
    whole = "".join(parts)
    return (whole, entities) if whole.strip() else (ELLIPSIS, [])


def to_bare(message: Message) -> str:
    """The first line alone, cleaned: what is left when everything else is refused."""
    first = clean(message.plain).partition("\n")[0]
    return shorten(first, BARE_UNITS) or ELLIPSIS


def to_keyboard(buttons: Sequence[Sequence[Button]]) -> Json | None:
    rows = [[_button(button) for button in row] for row in buttons if row]
    return {"inline_keyboard": rows} if rows else None


def _button(button: Button) -> Json:
    return {"text": shorten(one_line(button.label), LABEL_UNITS), "callback_data": button.data}
