"""Pydantic's findings in our own words. Values are shown only where they cannot be secret."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dozor.config.base import Section
from dozor.config.fields import nearest
from dozor.config.problems import Place, Problem

_SECRET_KEYS = frozenset(("token", "url", "proxy"))

_MAPPING = "must be a mapping, lines of key: value, not {kind}"
_LIST = "must be a list, in [ ] or lines of - value, not {kind}"
_TEXT = "must be text, not {kind}; put it in quotes"
_BOOL = "{value} is neither true nor false; write one of them"

_SENTENCES: Mapping[str, str] = {
    "missing": "is missing; add it",
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "string_type": _TEXT,
    "path_type": _TEXT,
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "int_type": "{value} is not a whole number; write one such as 5",
    "int_parsing": "{value} is not a whole number; write one such as 5",
    "int_from_float": "{value} is not a whole number; write one such as 5",
    "float_type": "{value} is not a number; write one such as 0.5",
    "float_parsing": "{value} is not a number; write one such as 0.5",
    "finite_number": "{value} is not a finite number; write one such as 0.5",
    "greater_than": "{value} is too small; it must be above {gt}",
    "greater_than_equal": "{value} is too small; the least is {ge}",
    "less_than": "{value} is too large; it must be below {lt}",
    "less_than_equal": "{value} is too large; the most is {le}",
}

# Follows from another error of the same mapping, which is reported.
_CONSEQUENCES = frozenset(("default_factory_not_called",))


def translate(
    error: ValidationError, model: type[Section], place: Place, filled: Mapping[Place, str]
) -> Iterator[Problem]:
    """The problems of `model`, which stands at `place`. `filled`: see `dozor.config.document.Document`."""
    for details in error.errors(include_url=False):
        where = (*place, *details["loc"])
        inner = details.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            nested = model_at(model, details["loc"])
            if nested is not None:
                yield from translate(inner, nested, where, filled)
        elif details["type"] not in _CONSEQUENCES:
            yield Problem(sentence(details, model, show(details["input"], where, filled)), where)


def sentence(details: ErrorDetails, model: type[Section], shown: str) -> str:
    """What is wrong and what would be right. `shown` stands for the value."""
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(details["loc"][-1])
        around = model_at(model, details["loc"][:-1]) or model
        return unknown_key(key, around.known_keys())
    if kind == "enum":
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        choice = " or ".join((", ".join(known[:-1]), known[-1])) if len(known) > 1 else known[0]
        value = details["input"]
        return f"{shown} is not known here; write {choice}" + (
            nearest(value, known) if isinstance(value, str) else ""
        )
    if kind == "value_error" and "error" in context:
        template = str(context["error"])
    else:
        template = _SENTENCES.get(kind, details["msg"])
    words = {"value": shown, "kind": kind_of(details["input"]), **{k: str(v) for k, v in context.items()}}
    # Not str.format: a value may hold braces of its own, and so may a sentence.
    return re.sub(r"\{(value|kind|gt|ge|lt|le)\}", lambda match: words.get(match[1], match[0]), template)


def unknown_key(key: str, known: list[str]) -> str:
    hint = nearest(key, known)
    return f"unknown key{hint or '; known here: ' + ', '.join(known) if known else '; none is known here'}"


def show(value: object, place: Place, filled: Mapping[Place, str]) -> str:
    """`value` for a message: itself, or what stands for it in the file, or just "the value"."""
    if place[-1:] and place[-1] in _SECRET_KEYS:
        return "the value"
    source = filled.get(place)
    if source is not None:
        return f"the value of {source[:60]!r}"
    match value:
        case None:
            return "an empty value"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "…")
        case float():
            return repr(value)
        case int():
            return repr(value) if abs(value) < 10**18 else "so large a number"
        case _:
            return kind_of(value)


def kind_of(value: object) -> str:
    """The sort of a value, with its article."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def model_at(model: type[Section], loc: tuple[int | str, ...]) -> type[Section] | None:
    """The model that stands at `loc` within `model`."""
    current: type[Section] | None = model
    for step in loc:
        if isinstance(step, int):
            continue
        field = current.model_fields.get(step) if current else None
        if field is None:
            return None
        # Of several (`stop` or a mapping) the one with keys is meant.
        models = [found for found in _models_in(field.annotation) if found.known_keys()]
        current = models[0] if models else None
    return current


def _models_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
