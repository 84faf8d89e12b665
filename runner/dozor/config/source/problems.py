"""A problem of the configuration: where it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dozor.errors import ConfigError
from dozor.redaction import Redactor

Place = tuple[str | int, ...]
"""The way to a value: ("tasks", "presale_checker", "every"), ("telegram", "admins", 1)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` says what is wrong, and what would be right. It holds no secrets. `line` counts from 1."""

    text: str
    place: Place = ()
    line: int | None = None


def dotted(place: Place) -> str:
    """`telegram.admins[1]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def line_of(lines: Mapping[Place, int], place: Place) -> int | None:
    """The line of `place`, or of the nearest thing around it that is in the file."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def as_error(source: str, lines: Mapping[Place, int], problems: Iterable[Problem]) -> ConfigError:
    """One error of all problems, by line. `source` is the file as its user called it.

    Patterns of secrets are hidden here once more: a token pasted as a key must not come out either.
    """
    redactor = Redactor()
    found: dict[str, int] = {}
    for problem in problems:
        line = problem.line or line_of(lines, problem.place)
        head = f"{source}:{line}" if line else source
        where = f" {dotted(problem.place)}:" if problem.place else ""
        found.setdefault(redactor.redact(f"{head}:{where} {problem.text}"), line or 0)
    return ConfigError(sorted(found, key=lambda text: found[text]))
