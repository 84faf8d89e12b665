"""Texts that are filled in elsewhere: by the script of the status page, which gets them with their gaps."""

from __future__ import annotations

from functools import cache
from typing import Any

from dozor.language.names import Language
from dozor.language.translator import source

Template = str | dict[str, Any]
"""A text with `{name}` where an argument belongs. With plural forms: a text by category
(https://cldr.unicode.org). With attributes: a template by the attribute's name."""


@cache
def templates(language: Language, area: str) -> dict[str, Template]:
    """All texts of an area by key."""
    # Here and not above: most commands need no template.
    from fluent.syntax import FluentParser
    from fluent.syntax.ast import Message

    found: dict[str, Template] = {}
    for entry in FluentParser().parse(source(language, area)).body:
        if not isinstance(entry, Message):
            continue
        if entry.attributes:
            found[entry.id.name] = {one.id.name: _template(one.value) for one in entry.attributes}
        else:
            found[entry.id.name] = _template(entry.value)
    return found


def _template(pattern: Any) -> Template:
    """Of what Fluent can express, these files use plain arguments, and plural forms of a whole text."""
    from fluent.syntax.ast import Identifier, Placeable, SelectExpression, TextElement

    first = pattern.elements[0]
    if isinstance(first, Placeable) and isinstance(first.expression, SelectExpression):
        return {
            variant.key.name: _template(variant.value)
            for variant in first.expression.variants
            if isinstance(variant.key, Identifier)
        }
    return "".join(
        one.value if isinstance(one, TextElement) else f"{{{one.expression.id.name}}}"
        for one in pattern.elements
    )
