"""The documentation is in plain terms, without metaphors that a reader would have to guess at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES
from tests.docs.test_pages import names

WORDS = re.compile(
    r"\b(house|rooms?|voices?|loud|loudly|owed|tells?|told|telling|on watch|watcher|hears?|heard|deaf"
    r"|mends?|mended|for ever|vigil|patrol|teller|registry|lanes?)\b",
    re.IGNORECASE,
)
CHECKED = [
    page
    for page in PAGES
    # The changelog is history.
    if page.name != "CHANGELOG.md" and not page.name.endswith(".ru.md")
]


def prose(page: Path) -> str:
    """Without blocks, inline code, addresses and anchors; line breaks stay."""
    text = page.read_text("utf-8")
    for pattern in (r"^ *```.*?^ *```$", r"`[^`\n]*`", r"\]\([^)]*\)"):
        text = re.sub(
            pattern, lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
        )
    return text


@pytest.mark.parametrize("page", CHECKED, ids=names(CHECKED))
def test_no_metaphors(page: Path) -> None:
    lines = prose(page).splitlines()
    found = [
        f"{page.name}:{number}: {one}" for number, line in enumerate(lines, 1) for one in WORDS.findall(line)
    ]
    assert not found
