"""A JSON Schema of `config.yaml` for editors, made from the models and the docstrings of their fields.

It describes the file as people write it, before it is read: durations such as `60s`, and `${NAME}` wherever a
value may stand. It accepts every file that `dozor check` accepts; what it cannot express, only `dozor check`
finds.
"""

from __future__ import annotations

import re
import types
import typing
from enum import Enum
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dozor.config.reference import docstrings_of, kind_words
from dozor.config.sections import config as models
from dozor.config.sections import tasks
from dozor.config.sections.base import Kind, Section

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
"""The version that the editors' YAML language server reads."""
_FILLED_IN: Schema = {"type": "string", "pattern": r"\$\{"}
_DURATION = r"^\s*[0-9]+(\.[0-9]+)?\s*$|^\s*([0-9]+(\.[0-9]+)?(ms|[dhms])\s*)+$"
_WHOLE = r"^\s*[0-9_]+\s*$"
_CHOICES = re.compile(r"(?:list of )?`[a-z_]+`(?:(?:, | or )`[a-z_]+`)*")


def json_schema() -> Schema:
    """The schema of a whole file."""
    definitions: dict[str, Schema] = {}
    whole = _object(models.Config, definitions)
    task = _reference(tasks.TaskConfig, definitions)
    required = definitions[tasks.TaskConfig.__name__].pop("required", [])
    properties = whole["properties"]
    properties["tasks"] |= {"type": "object", "minProperties": 1}
    properties["tasks"]["additionalProperties"] = {"anyOf": [task, {"type": "null"}]}
    properties["defaults"] = {"anyOf": [task, {"type": "null"}], "description": "Keys for all tasks."}
    # A key that every task needs may stand in `defaults` instead.
    each = {"properties": {"tasks": {"additionalProperties": {"type": "object", "required": required}}}}
    given = {"required": ["defaults"], "properties": {"defaults": {"type": "object", "required": required}}}
    return {
        "$schema": DRAFT,
        "title": "config.yaml of Dozor",
        **whole,
        "required": ["tasks"],
        "if": given,
        "else": each,
        "definitions": definitions,
    }


def _reference(model: type[Section], definitions: dict[str, Schema]) -> Schema:
    name = model.__name__
    if name not in definitions:
        definitions[name] = {}  # against a model that refers to itself
        definitions[name] = _object(model, definitions)
    return {"$ref": f"#/definitions/{name}"}


def _object(model: type[Section], definitions: dict[str, Schema]) -> Schema:
    meanings = docstrings_of(model)
    properties: dict[str, Schema] = {}
    required = []
    for name in model.known_keys():
        info = model.model_fields.get(name)
        if info is None:
            continue  # `defaults`
        schema: Schema = {} if model is models.Config and name == "tasks" else _field(info, definitions)
        properties[name] = {**schema, "description": " ".join(meanings[name].split())}
        if info.is_required():
            required.append(name)
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _field(info: FieldInfo, definitions: dict[str, Schema]) -> Schema:
    words = "" if _is_plain(info) else kind_words(info)
    options = _options(info.annotation, words, definitions) + _short_form(words)
    if any("$ref" not in option and option.get("type") not in ("object", "null") for option in options):
        options.append(_FILLED_IN)
    if not info.is_required() and _may_be_empty(info.annotation):
        options.append({"type": "null"})
    return _any_of(options)


def _any_of(options: list[Schema]) -> Schema:
    unique = [option for place, option in enumerate(options) if option not in options[:place]]
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _short_form(words: str) -> list[Schema]:
    """What may stand for a list or a mapping: its one item, or the value of its first key."""
    if words.startswith("`stop` or"):
        return [{"const": "stop"}]
    if words.startswith("`leader`, `pool`"):
        return [{"enum": ["leader", "pool"]}]
    if words.startswith("list of `{"):
        return []
    return _scalars(str, words) if words.startswith("list") else []


def _is_plain(info: FieldInfo) -> bool:
    """Whether the annotation says everything: no field of these has a `Kind`."""
    has_kind = any(isinstance(item, Kind) for item in info.metadata)
    return not has_kind and isinstance(info.annotation, type) and issubclass(info.annotation, Section)


def _options(annotation: Any, words: str, definitions: dict[str, Schema]) -> list[Schema]:
    """What may stand for a value of `annotation`, whose `Kind` says `words`."""
    found: list[Schema] = []
    for option in _alternatives(annotation):
        origin, inside = typing.get_origin(option), typing.get_args(option)
        if option is type(None):
            found.append({"type": "null"})
        elif isinstance(option, type) and issubclass(option, Section):
            if option.model_fields:
                found.append(_reference(option, definitions))
                if _takes(option, 1):
                    found.append({"type": ["string", "number"]})
                elif _takes(option, "postgresql://host/name"):
                    found.append({"type": "string"})
        elif origin is tuple and inside[-1] is Ellipsis:
            items = _options(inside[0], "" if words.startswith("list of `{") else words, definitions)
            found.append({"type": "array", "items": _any_of([*items, _FILLED_IN])})
        elif origin is dict:
            value = _options(inside[1], "", definitions)
            if words == "mapping of names to people":  # a person may be an id alone
                value += _scalars(str, "")
            found.append({"type": "object", "additionalProperties": _any_of(value) if value else True})
        elif option is Any:
            return []
        else:
            found += _scalars(option, words)
    return found


def _takes(model: type[Section], value: object) -> bool:
    """Whether a mapping has a short form: an id for a person, a duration for `restart_delay`, a URL."""
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


def _alternatives(annotation: Any) -> list[Any]:
    """The members of unions, without `Annotated`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [one for option in typing.get_args(annotation) for one in _alternatives(option)]
    if typing.get_origin(annotation) is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    return [annotation]


def _scalars(kind: Any, words: str) -> list[Schema]:
    if kind is bool:
        return [{"type": "boolean"}]
    if words.startswith("duration"):
        return [{"type": "number"}, {"type": "string", "pattern": _DURATION}]
    if isinstance(kind, type) and issubclass(kind, Enum) and not words:
        return [{"enum": [member.value for member in kind]}]
    if _CHOICES.fullmatch(words):
        return [{"enum": re.findall(r"`([^`]+)`", words)}]
    if kind is int and words.startswith("whole number"):
        return [{"type": "integer"}, {"type": "string", "pattern": _WHOLE}]
    if kind is float:
        return [{"type": "number"}]
    return [{"type": ["string", "number"]}]


def _may_be_empty(annotation: Any) -> bool:
    """Keys whose lines are all commented out are null, which stands for the default."""
    return any(
        option in (str, type(None))
        or typing.get_origin(option) in (tuple, dict)
        or (isinstance(option, type) and issubclass(option, Section))
        for option in _alternatives(annotation)
    )
