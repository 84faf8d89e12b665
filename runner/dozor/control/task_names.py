"""Resolves the name of a task: a whole name, an unambiguous part of one, or a typo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

SUGGESTIONS = 3
ALIKE = 0.6
"""Similarity from which a name is worth suggesting, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Found:
    name: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several names hold the words."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotFound:
    """The nearest names first; may be empty."""

    suggestions: tuple[str, ...]


def resolve(query: str, names: Sequence[str]) -> Found | Ambiguous | NotFound:
    """Exact, then in any case, then the start of a name, then any part of it."""
    if query in names:
        return Found(query)
    wanted = _plain(query)
    if wanted:
        plain = [(name, _plain(name)) for name in names]
        for fitting in (
            tuple(name for name, text in plain if text == wanted),
            tuple(name for name, text in plain if text.startswith(wanted)),
            tuple(name for name, text in plain if wanted in text),
        ):
            if fitting:
                return Found(fitting[0]) if len(fitting) == 1 else Ambiguous(fitting)
    return NotFound(_nearest(wanted, names))


def _nearest(wanted: str, names: Sequence[str]) -> tuple[str, ...]:
    scored = [(SequenceMatcher(None, wanted, _plain(name)).ratio(), name) for name in names]
    alike = sorted((item for item in scored if item[0] >= ALIKE), key=lambda item: -item[0])
    return tuple(name for _, name in alike[:SUGGESTIONS])


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")
