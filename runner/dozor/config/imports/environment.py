"""Variables of the environment that are for the runner, not for child processes of `isolation: process`.

This keeps the runner's own credentials out of tracebacks, debug dumps and subprocesses of checkers. It is not
a security boundary: a process of the same user can read more than its environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from dozor.config.source.interpolation import names_in_references
from dozor.config.source.problems import Place
from dozor.config.values.secret_names import SECRET_NAME
from dozor.language import msg

ALWAYS_WITHHELD = frozenset(("BOT_TOKEN", "DATABASE_URL"))
SECTIONS = frozenset(("telegram", "database", "databases", "web", "alerts", "oncall", "dependencies"))
"""Sections whose `${NAME}` are withheld."""
ARGS = "args"


def withheld_names(filled: Mapping[Place, str]) -> frozenset[str]:
    """`filled`: the texts with references that were filled in, by place; see `Config.filled`."""
    found = set(ALWAYS_WITHHELD)
    for place, text in filled.items():
        if place and (place[0] in SECTIONS or _is_secret_argument(place)):
            found.update(names_in_references(text))
    return frozenset(found)


def _is_secret_argument(place: Place) -> bool:
    """An argument under a secret name. Its task is handed the value; other tasks get nothing of it."""
    names = [part for part in place if isinstance(part, str)]
    return ARGS in names and any(SECRET_NAME.search(name) for name in names[names.index(ARGS) + 1 :])


def child_environment(environ: Mapping[str, str], withheld: Iterable[str]) -> dict[str, str]:
    """`environ` without `withheld`."""
    left_out = frozenset(withheld)
    return {name: value for name, value in environ.items() if name not in left_out}


class _ExplainingEnviron(os._Environ[str]):
    """`os.environ` of a child process: a KeyError for a withheld name says that it was withheld."""

    withheld: frozenset[str] = frozenset()

    def __getitem__(self, key: str) -> str:
        try:
            return super().__getitem__(key)
        except KeyError:
            if key in self.withheld:
                raise KeyError(msg("error-variable-withheld", name=key)) from None
            raise


def explain_withheld(names: Iterable[str]) -> None:
    """Have `os.environ[NAME]` of this process say why a withheld variable is not there.

    The object stays the same: modules may have imported it by name.
    """
    _ExplainingEnviron.withheld = frozenset(names)
    os.environ.__class__ = _ExplainingEnviron
