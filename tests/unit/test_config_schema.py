"""The JSON Schema for editors: it accepts what `dozor check` accepts, and finds the usual mistakes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from dozor.config.schema import json_schema
from dozor.config.sections import alerts, tasks
from dozor.config.sections import config as models
from dozor.config.sections.base import Section
from tests.docs.pages import PAGES, blocks_of
from tests.house.sources import ROOT

SCHEMA = json_schema()
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def errors(value: Any, schema: Any, place: str = "") -> list[str]:
    """What draft 7 says about `value`, for the keywords that the schema uses. Raises on any other."""
    if schema is True:
        return []
    found: list[str] = []
    for keyword, wanted in schema.items():
        match keyword:
            case "$schema" | "title" | "description" | "definitions" | "else" | "additionalProperties":
                continue
            case "$ref":
                found += errors(value, SCHEMA["definitions"][wanted.rpartition("/")[2]], place)
            case "type":
                allowed = [kind for name in ([wanted] if isinstance(wanted, str) else wanted)
                           for kind in TYPES[name]]  # fmt: skip
                if type(value) not in allowed:
                    found.append(f"{place}: {value!r} is not {wanted}")
            case "enum" | "const":
                if value not in (wanted if keyword == "enum" else [wanted]):
                    found.append(f"{place}: {value!r} is not {wanted}")
            case "pattern":
                if isinstance(value, str) and not re.search(wanted, value):
                    found.append(f"{place}: {value!r} is not {wanted}")
            case "anyOf":
                tries = [errors(value, one, place) for one in wanted]
                if all(tries):
                    deepest = max(range(len(tries)), key=lambda number: tries[number][0].count("."))
                    found += tries[deepest]
            case "items":
                for index, item in enumerate(value if isinstance(value, list) else ()):
                    found += errors(item, wanted, f"{place}.{index}")
            case "required":
                given = value if isinstance(value, dict) else wanted
                found += [f"{place}: no {key}" for key in wanted if key not in given]
            case "minProperties":
                if isinstance(value, dict) and len(value) < wanted:
                    found.append(f"{place}: empty")
            case "properties":
                for key, item in value.items() if isinstance(value, dict) else ():
                    if key in wanted:
                        found += errors(item, wanted[key], f"{place}.{key}")
            case "if":
                if errors(value, wanted, place):
                    found += errors(value, schema["else"], place)
            case _:
                raise AssertionError(f"a keyword that this test does not know: {keyword}")
    more = schema.get("additionalProperties", True)
    for key, item in value.items() if isinstance(value, dict) and more is not True else ():
        if key not in schema.get("properties", {}):
            found += [f"{place}.{key}: unknown"] if more is False else errors(item, more, f"{place}.{key}")
    return found


def check(text: str) -> list[str]:
    return errors(yaml.safe_load(text), SCHEMA)


def test_every_key_of_every_section_is_there() -> None:
    definitions = SCHEMA["definitions"]
    for model in (tasks.TaskConfig, models.TelegramConfig, models.PoolsConfig, alerts.RotationConfig):
        assert set(definitions[model.__name__]["properties"]) == set(model.known_keys())
    assert set(SCHEMA["properties"]) == set(models.Config.known_keys())
    inside = {model.__name__ for model in _sections(models.Config) if model.model_fields}
    assert inside - {"Config", "Stop"} <= set(definitions)


def _sections(model: type[Section]) -> set[type[Section]]:
    return {one for one in Section.__subclasses__() if one.__module__.startswith("dozor.config")}


CONFIGURATIONS = [
    ROOT / "config.yaml",
    *(ROOT / "deploy").rglob("*config*.yaml"),
]
EXAMPLES = {
    str(block): block.text
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "yaml" and "tasks:" in block.text and block.name != "mistaken.yaml"
    and "${{" not in block.text and re.search(r"^tasks:", block.text, re.MULTILINE)
}  # fmt: skip


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=str)
def test_it_accepts_the_shipped_files(path: Any) -> None:
    assert check(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_it_accepts_every_example_of_the_documentation(text: str) -> None:
    assert check(text) == []


FORMS = [
    "every: 1h30m", "every: 60", "every: 0.5", "every: '60'", "every: ${PACE}", "every: ${PACE:-60s}",
    "restart_delay: 5s", "restart_delay: {initial: 1s, factor: 2, max: 1m, jitter: 0.1}",
    "max_consecutive_failures: null", "max_consecutive_failures: 7",
    "requires: [database]", "requires: database",
    "on_critical: stop", "on_critical: {retry_every: 10m}", "isolation: process", "isolation: ${WHERE}",
    "enabled: ${ON:-true}", "enabled: false", "args: {a: [1, 2], b: {c: null}}", "args:", "alerts:",
    "alerts: {repeated_errors: 2, severity: {hung: critical}}", "max_memory: 512MB",
    "max_failures: {count: 5, within: 1h}",
]  # fmt: skip


@pytest.mark.parametrize("line", FORMS)
def test_it_accepts_every_form_of_a_value(line: str) -> None:
    assert check(f"tasks:\n  one:\n    run: m:f\n    {line}\n") == []


def test_a_key_from_defaults_need_not_be_repeated() -> None:
    assert check("defaults: {run: 'm:f'}\ntasks:\n  one: {every: 5s}\n  two:\n") == []


MISTAKES = {
    "evry: 60s": "evry", "every: soon": "every", "isolation: box": "isolation", "enabled: perhaps": "enabled",
    "restart_delay: {inital: 1s}": "inital", "on_critical: {retry: 10m}": "retry",
    "misfire: never": "misfire",
    "max_consecutive_failures: many": "max_consecutive_failures", "alerts: {repeated: 2}": "repeated",
    "restart_delay: [1s]": "restart_delay",
    "requires: {database: true}": "requires",
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_it_finds_the_usual_mistakes(line: str) -> None:
    found = check(f"tasks:\n  one:\n    run: m:f\n    {line}\n")
    assert found
    assert MISTAKES[line] in " ".join(found)


@pytest.mark.parametrize(
    "text",
    ["databse: {}\ntasks: {one: {run: 'm:f'}}", "tasks: {}", "language: en", "tasks: {one: {every: 5s}}",
     "language: fr\ntasks: {one: {run: 'm:f'}}", "web: {lisen: null}\ntasks: {one: {run: 'm:f'}}"],
)  # fmt: skip
def test_it_finds_mistakes_of_the_whole_file(text: str) -> None:
    assert check(text)
