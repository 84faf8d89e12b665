"""Texts by key. Keys stand in the code as literals, so that a test can find the missing and the unused.

`ru.ftl` and `en.ftl` hold what people see in the chat and in alerts. What the log, the errors and the command
line need is split by area, `<area>.ru.ftl` and `<area>.en.ftl`, and an area is the first word of its keys.
Only the area that is asked for is read, and a text without plural forms is filled in without loading Fluent,
which takes 0.1 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dozor.language.names import Language

if TYPE_CHECKING:
    from fluent.runtime import FluentBundle

AREAS = frozenset(("config", "log", "error", "cli", "doctor", "setup", "demo", "web"))
_SIMPLE = re.compile(r"^([a-z][a-z0-9-]*) = (.+)\n(?=[^ }\[]|\Z)", re.MULTILINE)
_ARGUMENT = re.compile(r"\{ \$([a-z_]+) \}")


class Translator:
    """Texts of one language. The bundle is parsed at the first use and shared."""

    __slots__ = ("language",)

    def __init__(self, language: Language | str = Language.RU) -> None:
        self.language = Language(language)

    def format(self, key: str, /, **args: str | int | float) -> str:
        """The text of `key`, its `$arguments` filled in. Numbers take the language's plural forms.

        Raises KeyError for an unknown key and ValueError for a missing argument: both are bugs.
        """
        area = key.partition("-")[0]
        if area in AREAS:
            return _of_area(self.language, area, key, args)
        return _format(self.language, "", key, args) if args else _fixed(self.language, key)


def warm(languages: Iterable[Language]) -> None:
    """Load what the texts of the chat and of the log need in these languages, to be called in a thread.

    Fluent, babel and the parsing take from 0.1 s to 4 s of a busy machine, at the first use otherwise.
    """
    for language in dict.fromkeys(languages):
        Translator(language).format("alert-and-more", count=2)  # a number: babel reads the locale's data
        for area in ("log", "error"):
            _simple(language, area)


def _of_area(language: Language, area: str, key: str, args: Mapping[str, str | int | float]) -> str:
    simple = _simple(language, area).get(key)
    if simple is None:
        return _format(language, area, key, args)
    try:
        return "".join(str(args[part]) if odd else part for part, odd in simple)
    except KeyError as error:
        raise ValueError(f"text {key!r}: no argument {error}") from None


def _format(language: Language, area: str, key: str, args: Mapping[str, str | int | float]) -> str:
    bundle = _bundle(language, area)
    message = bundle.get_message(key)
    if message.value is None:
        raise KeyError(key)
    given: dict[str, Any] = dict(args)
    if area:
        from fluent.runtime.types import fluent_number

        # Process numbers and ports among them: no thousands separators.
        given = {
            name: fluent_number(value, useGrouping=False) if isinstance(value, int) else value
            for name, value in args.items()
        }
    text, errors = bundle.format_pattern(message.value, given)
    if errors:
        raise ValueError(f"text {key!r}: {errors[0]}")
    return str(text)


@cache
def _fixed(language: Language, key: str) -> str:
    return _format(language, "", key, {})


def source(language: Language, area: str) -> str:
    """The file of an area; "": of the chat and the alerts."""
    name = f"{area}.{language.value}.ftl" if area else f"{language.value}.ftl"
    return Path(__file__).with_name(name).read_text("utf-8")


@cache
def _simple(language: Language, area: str) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Texts of one line that hold nothing but `{ $argument }`: pieces of text and arguments in turn."""
    found = {}
    for key, text in _SIMPLE.findall(source(language, area)):
        pieces = _ARGUMENT.split(text)
        if not any("{" in piece for piece in pieces[::2]):
            found[key] = tuple((piece, bool(place % 2)) for place, piece in enumerate(pieces))
    return found


@cache
def _bundle(language: Language, area: str) -> FluentBundle:
    # Here and not above: fluent brings babel, and most commands need no such text at all.
    from fluent.runtime import FluentBundle, FluentResource

    # No isolation marks: they would stand in logs, in copied commands and in the lengths of entities.
    bundle = FluentBundle([language.value], use_isolating=False)
    bundle.add_resource(FluentResource(source(language, area)))
    return bundle
