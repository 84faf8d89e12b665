"""The words: every key is there, is used, and means the same arguments in both languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fluent.syntax import FluentParser
from fluent.syntax.ast import BaseNode, Junk, Message, VariableReference

from dozor.language import Language, Translator
from dozor.language.process import from_environment, from_text
from dozor.language.times import ago, ahead, clock, duration, rough
from dozor.language.translator import AREAS, _format, _simple
from dozor.web.texts import Texts
from dozor_market.demo.words import Words

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"[a-z]+(-[a-z]+)*")


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
    for package in ("runner", "bot"):
        for path in sorted((ROOT / package).rglob("*.py")):
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


@pytest.mark.parametrize(
    ("env", "language"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru"}, "ru"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "run_RD"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ru_RU"}, "ru"),
        ({"LC_MESSAGES": "ru_RU", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ru_RU"}, "ru"),
        ({"LC_CTYPE": "ru_RU", "LANGUAGE": "ru"}, "en"),
    ],
)
def test_auto_follows_the_first_variable_that_is_set(env: dict[str, str], language: str) -> None:
    assert from_environment(env) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("tasks: {", "ru"),
        ("language: en\ntasks: {", "en"),
        ("language: 'en'   # log and alerts\n\ttasks:", "en"),
        ("tasks: {\nlanguage: en\n", "en"),
        ("web:\n  language: en\n", "ru"),
        ("language: auto\n", "ru"),
        ("language: ${NO_SUCH:-en}\n", "en"),
        ("language: ${MINE}\n", "en"),
        ("language: klingon\n", "ru"),
        ("language:\n", "ru"),
    ],
)
def test_the_language_of_a_broken_configuration_is_found(text: str, language: str) -> None:
    assert from_text(text, {"LANG": "ru_RU", "MINE": "en"}) == language


def test_a_missing_argument_is_an_error_and_not_a_hole_in_the_text() -> None:
    with pytest.raises(ValueError, match="alert-recovered"):
        Translator("ru").format("alert-recovered")


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        Translator("ru").format("no-such-key")


def test_no_isolation_marks_around_arguments() -> None:
    assert Translator("ru").format("alert-recovered", task="x") == "✅ x снова работает"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 ошибка подряд"),
        (2, "2 ошибки подряд"),
        (5, "5 ошибок подряд"),
        (11, "11 ошибок подряд"),
        (21, "21 ошибка подряд"),
    ],
)
def test_russian_plurals(count: int, words: str) -> None:
    text = Translator("ru").format("alert-repeated", sign="⚠️", task="t", failures=count, since="12:00")
    assert (words in text) == (count != 1)
    if count == 1:
        assert text == "⚠️ t: ошибка в 12:00"


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (-5, "0 с", "0 s"),
        (0.42, "420 мс", "420 ms"),
        (45, "45 с", "45 s"),
        (60, "1 мин", "1 min"),
        (192, "3 мин 12 с", "3 min 12 s"),
        (4800, "1 ч 20 мин", "1 h 20 min"),
        (86400, "1 день", "1 day"),
        (2 * 86400 + 4 * 3600, "2 дня 4 ч", "2 days 4 h"),
        (5 * 86400, "5 дней", "5 days"),
    ],
)
def test_durations_in_words(seconds: float, russian: str, english: str) -> None:
    assert duration(Translator("ru"), seconds) == russian
    assert duration(Translator("en"), seconds) == english


def test_distances_in_time() -> None:
    russian, english = Translator("ru"), Translator("en")
    assert ago(russian, 200) == "3 мин назад"
    assert ago(english, 200) == "3 min ago"
    assert ago(russian, 0.5) == "только что"
    assert ahead(russian, 60) == "через 1 мин"
    assert ahead(english, -1) == "now"
    assert rough(russian, 23 * 86400) == "23 дня"


def test_clock_times_stand_in_the_configured_zone() -> None:
    now = 1764000180.0  # 2025-11-24 16:03:00 UTC
    moscow = ZoneInfo("Europe/Moscow")
    assert clock(now, moscow, now) == "19:03:00"
    assert clock(now, UTC, now) == "16:03:00 UTC"
    assert clock(now - 86400, moscow, now) == "23.11 19:03"
    assert clock(now - 400 * 86400, moscow, now) == "20.10.2024 19:03"
