"""Texts by key. Keys stand in the code as literals, so that a test can find the missing and the unused."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from dozor.language.names import Language

if TYPE_CHECKING:
    from fluent.runtime import FluentBundle


class Translator:
    """Texts of one language. The bundle is parsed at the first use and shared."""

    __slots__ = ("language",)

    def __init__(self, language: Language | str = Language.RU) -> None:
        self.language = Language(language)

    def format(self, key: str, **args: str | int | float) -> str:
        """The text of `key`, its `$arguments` filled in. Numbers take the language's plural forms.

        Raises KeyError for an unknown key and ValueError for a missing argument: both are bugs.
        """
        return _format(self.language, key, **args) if args else _fixed(self.language, key)


def _format(language: Language, key: str, **args: str | int | float) -> str:
    bundle = _bundle(language)
    message = bundle.get_message(key)
    if message.value is None:
        raise KeyError(key)
    text, errors = bundle.format_pattern(message.value, args)
    if errors:
        raise ValueError(f"text {key!r}: {errors[0]}")
    return str(text)


@cache
def _fixed(language: Language, key: str) -> str:
    return _format(language, key)


@cache
def _bundle(language: Language) -> FluentBundle:
    # Here and not above: fluent brings babel, and most commands need no text at all.
    from fluent.runtime import FluentBundle, FluentResource

    source = files("dozor.language").joinpath(f"{language.value}.ftl").read_text("utf-8")
    # No isolation marks: they would stand in logs, in copied commands and in the lengths of entities.
    bundle = FluentBundle([language.value], use_isolating=False)
    bundle.add_resource(FluentResource(source))
    return bundle
