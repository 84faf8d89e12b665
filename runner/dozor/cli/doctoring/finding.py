"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`failed`: something does not work. `warning`: it works, but not as a user may expect."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy`: what to do; empty where there is nothing to do."""

    level: Level
    about: str
    text: str
    remedy: str = ""


def ok(about: str, text: str) -> Finding:
    return Finding(Level.OK, about, text)


def warning(about: str, text: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, about, text, remedy)


def failed(about: str, text: str, remedy: str) -> Finding:
    return Finding(Level.FAILED, about, text, remedy)


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same about several things as one, at the place of the first."""
    found: dict[tuple[Level, str, str], list[str]] = {}
    for one in findings:
        found.setdefault((one.level, one.text, one.remedy), []).append(one.about)
    return [
        Finding(level, ", ".join(dict.fromkeys(about)), text, remedy)
        for (level, text, remedy), about in found.items()
    ]
