"""The language of this process: of its log, its errors and its command line.

It is chosen at the edge (`dozor.cli`, or `Runner` for an application that embeds it) and read by `msg`. Until
then it is English. Texts for one person of a chat use a `Translator` of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from dozor.language.names import Language
from dozor.language.translator import Translator

AUTO = "auto"
HEAD = 256 * 1024
"""Bytes of a configuration that are searched for its `language:`."""
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_KEY = re.compile(r"""^(["']?)language\1[ \t]*:[ \t]*(.*)$""", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")

_of_process = Language.EN
_for_now: ContextVar[Language | None] = ContextVar("dozor_language", default=None)


def msg(key: str, /, **args: object) -> str:
    """The text of `key` in the language of this process, its `$arguments` filled in.

    Whole numbers take the language's plural forms and are written without separators; everything else
    stands as `str` gives it. Raises KeyError for an unknown key and ValueError for a missing argument: both
    are bugs, which tests/house/test_texts.py finds without running the code.
    """
    given = {name: value if isinstance(value, int | str) else str(value) for name, value in args.items()}
    return Translator(language_in_use()).format(key, **given)


def language_in_use() -> Language:
    return _for_now.get() or _of_process


def use_language(language: Language) -> None:
    """From now on, for the whole process."""
    global _of_process
    _of_process = Language(language)


@contextmanager
def language_for_now(language: Language) -> Iterator[None]:
    """Within this block, and what it starts, only."""
    token = _for_now.set(language)
    try:
        yield
    finally:
        _for_now.reset(token)


def from_environment(env: Mapping[str, str]) -> Language:
    """`auto`: the first of LC_ALL, LC_MESSAGES and LANG that is set and not empty decides.

    The order is that of POSIX (XBD 8.2). A value that begins with `ru` is Russian, everything else, `C`,
    `POSIX` and nothing included, is English.
    """
    value = next((env[name] for name in _VARIABLES if env.get(name)), "")
    return Language.RU if re.match(r"ru(?![a-z])", value, re.IGNORECASE) else Language.EN


def from_setting(value: str, env: Mapping[str, str]) -> Language | None:
    """`auto`, `ru` or `en`; None for anything else."""
    if value == AUTO:
        return from_environment(env)
    return Language(value) if value in set(Language) else None


def from_text(text: str, env: Mapping[str, str]) -> Language:
    """The language that a configuration asks for, found without parsing it: it may be broken.

    Without the key: Russian. With a value that is none: the environment's.
    """
    found = _KEY.search(text)
    if found is None:
        return Language.RU
    value = found[2].split(" #")[0].strip().strip("\"'")
    value = _REFERENCE.sub(lambda match: env.get(match[1]) or match[2] or "", value)
    return from_setting(value, env) or from_environment(env)


def from_file(path: Path, env: Mapping[str, str]) -> Language:
    """As `from_text`; the environment's where there is no regular file that can be read."""
    try:
        if not path.is_file():  # a pipe could be read only once
            return from_environment(env)
        with path.open("rb") as file:
            text = file.read(HEAD).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return from_environment(env)
    return from_text(text, env)
