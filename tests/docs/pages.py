"""Code blocks of a page, and the comment before each that gives its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.house.sources import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
USER_PAGES = (
    "quick-start", "writing-checkers", "your-database", "databases", "telegram", "on-call", "recipes",
    "troubleshooting", "faq", "cli", "http-api", "upgrading", "backup", "coming-from", "embedding",
    "schedules", "isolation", "alerting", "bot", "operations",
)  # fmt: skip
"""The user's part of docs/, in the order of the index; each in English and, as NAME.ru.md, in Russian."""

_FENCE = re.compile(  # a block of a list item is indented
    r"^ *(?:<!-- (?P<about>[a-z]+): (?P<name>[^\n]*?) -->\n *)?```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """`about` and `name` from a comment like `<!-- file: config.yaml -->` right before the block."""

    page: str
    line: int
    language: str
    text: str
    about: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=found["text"],
            about=found["about"],
            name=found["name"] or "",
        )
        for found in _FENCE.finditer(text)
    ]
