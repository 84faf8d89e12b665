"""The texts beside the sources: every key is there, is used, and has the same arguments in both languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from fluent.syntax import FluentParser
from fluent.syntax.ast import BaseNode, Junk, Message, VariableReference

from dozor.language import Language, Translator
from dozor.language.translator import AREAS, _format, _simple
from dozor.web.texts import Texts
from dozor_market.demo.words import Words
from tests.house.sources import ROOT, python_files


def _files(language: Language) -> list[Path]:
    folder = ROOT / "runner" / "dozor" / "language"
    return [folder / f"{language.value}.ftl", *sorted(folder.glob(f"*.{language.value}.ftl"))]


@cache
def _parsed(path: Path) -> tuple[Message, ...]:
    body = FluentParser().parse(path.read_text("utf-8")).body
    junk = [entry.content for entry in body if isinstance(entry, Junk)]
    assert not junk, f"{path.name} does not parse: {junk}"
    return tuple(entry for entry in body if isinstance(entry, Message))


@cache
def _messages(language: Language) -> Mapping[str, Message]:
    found: dict[str, Message] = {}
    for path in _files(language):
        for entry in _parsed(path):
            assert entry.id.name not in found, f"{path.name}: {entry.id.name} is there already"
            found[entry.id.name] = entry
    return found


def _variables(node: Any) -> Iterator[str]:
    if isinstance(node, VariableReference):
        yield node.id.name
    elif isinstance(node, BaseNode):
        for value in vars(node).values():
            yield from _variables(value)
    elif isinstance(node, list):
        for item in node:
            yield from _variables(item)


@dataclass(frozen=True, slots=True)
class _Scan:
    """What the sources say. `asked`: keys in `translator.format(...)`, its usual short name `text(...)` and
    `msg(...)`, with the names of their arguments; None where they are passed on as `**...`.
    """

    literals: frozenset[str]
    asked: tuple[tuple[str, frozenset[str] | None], ...]


@cache
def _scan() -> _Scan:
    literals: set[str] = set()
    asked: list[tuple[str, frozenset[str] | None]] = []
    for path in python_files("runner", "bot"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant):
                if isinstance(node.value, str):
                    literals.add(node.value)
            elif isinstance(node, ast.Call):
                asked.extend(_asked_for(node))
    return _Scan(frozenset(literals), tuple(asked))


def _asked_for(node: ast.Call) -> Iterator[tuple[str, frozenset[str] | None]]:
    if not (node.args and isinstance(node.args[0], ast.Constant)):
        return
    called = node.func
    short = isinstance(called, ast.Name) and called.id in ("text", "msg")
    long = (
        isinstance(called, ast.Attribute)
        and called.attr == "format"
        and "translator" in ast.unparse(called.value)
    )
    if (short or long) and isinstance(node.args[0].value, str):
        given = frozenset(keyword.arg for keyword in node.keywords if keyword.arg is not None)
        passed_on = any(keyword.arg is None for keyword in node.keywords)
        yield node.args[0].value, None if passed_on else given


def test_both_languages_have_the_same_keys() -> None:
    assert _messages(Language.RU).keys() == _messages(Language.EN).keys()


def test_no_text_is_left_in_the_other_language() -> None:
    for path in _files(Language.EN):
        text = path.read_text("utf-8").replace("web-other-language = Русский\n", "")
        assert not re.findall(r"^.*[а-яё].*$", text, re.IGNORECASE | re.MULTILINE)


def test_arguments_are_the_same_in_both_languages() -> None:
    russian, english = _messages(Language.RU), _messages(Language.EN)
    for key in russian:
        assert set(_variables(russian[key])) == set(_variables(english[key])), key


def test_every_key_is_used() -> None:
    of_fields = {
        f"{area}-{field.name.replace('_', '-')}"
        for area, texts in (("web", Texts), ("demo", Words))
        for field in fields(texts)
    }
    unused = _messages(Language.RU).keys() - _scan().literals - of_fields
    assert not unused


def test_every_key_the_code_asks_for_is_there() -> None:
    asked = {key for key, _ in _scan().asked}
    assert len(asked) > 500, "the scan finds little: has the translator been renamed?"
    assert not asked - _messages(Language.RU).keys()


def test_every_argument_of_a_text_is_given() -> None:
    messages = _messages(Language.RU)
    for key, given in _scan().asked:
        if given is not None:
            assert set(_variables(messages[key])) <= given, key


def test_a_text_stands_in_the_file_of_its_area() -> None:
    for language in Language:
        for path in _files(language)[1:]:
            area = path.name.partition(".")[0]
            assert area in AREAS
            assert all(message.id.name.partition("-")[0] == area for message in _parsed(path))
    main = _parsed(_files(Language.RU)[0])
    assert not [message for message in main if message.id.name.partition("-")[0] in AREAS]


def test_a_text_without_plurals_reads_as_fluent_reads_it() -> None:
    """The short cut of `Translator` against the real thing, for every text it takes."""
    for language in Language:
        messages = _messages(language)
        for area in sorted(AREAS):
            names = _simple(language, area)
            assert names, f"no simple text in {area}"
            for key in names:
                args = {name: f"<{name}>" for name in _variables(messages[key])}
                assert Translator(language).format(key, **args) == _format(language, area, key, args)
