"""Translates pydantic's errors to messages of our own. Values are shown only where they cannot be secret."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dozor.config.sections.base import Section
from dozor.config.source.problems import Place, Problem
from dozor.config.values.fields import nearest
from dozor.language import msg

_SECRET_KEYS = frozenset(("token", "url", "proxy"))

_MAPPINGS = frozenset(("model_type", "model_attributes_type", "dict_type"))
_LISTS = frozenset(("tuple_type", "list_type"))
_TEXTS = frozenset(("string_type", "path_type"))
_BOOLS = frozenset(("bool_type", "bool_parsing"))
_WHOLE_NUMBERS = frozenset(("int_type", "int_parsing", "int_from_float"))
_NUMBERS = frozenset(("float_type", "float_parsing"))

# Follows from another error of the same mapping, which is reported.
_CONSEQUENCES = frozenset(("default_factory_not_called",))


def translate(
    error: ValidationError, model: type[Section], place: Place, filled: Mapping[Place, str]
) -> Iterator[Problem]:
    """The problems of `model`, which is at `place`. `filled`: see `document.Document`."""
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
        choice = ", ".join(known)
        if len(known) > 1:
            choice = msg("config-or", first=", ".join(known[:-1]), last=known[-1])
        value = details["input"]
        return msg("config-not-a-choice", shown=shown, choice=choice) + (
            nearest(value, known) if isinstance(value, str) else ""
        )
    if kind == "value_error" and "error" in context:
        template = str(context["error"])
    else:
        template = _template(kind) or details["msg"]
    words = {"value": shown, "kind": kind_of(details["input"]), **{k: str(v) for k, v in context.items()}}
    # Not str.format: a value may hold braces of its own, and so may a sentence.
    return re.sub(r"\{(value|kind|gt|ge|lt|le)\}", lambda match: words.get(match[1], match[0]), template)


def _template(kind: str) -> str | None:
    """The sentence for a kind of pydantic's errors; None for one that no field of ours can have."""
    if kind in _MAPPINGS:
        return msg("config-mapping-type", kind="{kind}")
    if kind in _LISTS:
        return msg("config-list-type", kind="{kind}")
    if kind in _TEXTS:
        return msg("config-text-type", kind="{kind}")
    if kind in _BOOLS:
        return msg("config-bool-type", value="{value}")
    if kind in _WHOLE_NUMBERS:
        return msg("config-not-whole", value="{value}")
    if kind in _NUMBERS:
        return msg("config-number-type", value="{value}")
    match kind:
        case "missing":
            return msg("config-missing")
        case "finite_number":
            return msg("config-not-finite", value="{value}")
        case "greater_than":
            return msg("config-greater", value="{value}", gt="{gt}")
        case "greater_than_equal":
            return msg("config-greater-equal", value="{value}", ge="{ge}")
        case "less_than":
            return msg("config-less", value="{value}", lt="{lt}")
        case "less_than_equal":
            return msg("config-less-equal", value="{value}", le="{le}")
        case _:
            return None


def unknown_key(key: str, known: list[str]) -> str:
    if not known:
        return msg("config-unknown-key-none")
    hint = nearest(key, known)
    if hint:
        return msg("config-unknown-key", hint=hint)
    return msg("config-unknown-key-known", known=", ".join(known))


def show(value: object, place: Place, filled: Mapping[Place, str]) -> str:
    """`value` for a message: itself, or what stands for it in the file, or just "the value"."""
    if place[-1:] and place[-1] in _SECRET_KEYS:
        return msg("config-the-value")
    source = filled.get(place)
    if source is not None:
        return msg("config-value-of", source=repr(source[:60]))
    match value:
        case None:
            return msg("config-empty-value")
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "…")
        case float():
            return repr(value)
        case int():
            return repr(value) if abs(value) < 10**18 else msg("config-large-number")
        case _:
            return kind_of(value)


def kind_of(value: object) -> str:
    """The sort of a value, with its article."""
    match value:
        case None:
            return msg("config-empty-value")
        case bool():
            return msg("config-kind-bool")
        case int() | float():
            return msg("config-kind-number")
        case str():
            return msg("config-kind-text")
        case dict():
            return msg("config-kind-mapping")
        case list() | tuple():
            return msg("config-kind-list")
        case _:
            return msg("config-kind-other", name=type(value).__name__)


def model_at(model: type[Section], loc: tuple[int | str, ...]) -> type[Section] | None:
    """The model at `loc` within `model`."""
    current: type[Section] | None = model
    named = False
    for step in loc:
        if isinstance(step, int) or named:
            named = False  # of a list or a mapping of names: an element
            continue
        field = current.model_fields.get(step) if current else None
        if field is None:
            return None
        # Of several (`stop` or a mapping) the one with keys is meant.
        models = [found for found in _models_in(field.annotation) if found.known_keys()]
        current = models[0] if models else None
        named = current is not None and _is_mapping(field.annotation)
    return current


def _is_mapping(annotation: Any) -> bool:
    options = (annotation, *typing.get_args(annotation))
    return any(typing.get_origin(option) is dict for option in options)


def _models_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
