"""The user's part of the documentation is whole in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import LINK, USER_PAGES, blocks_of
from tests.house.sources import ROOT

DOCS = ROOT / "docs"
PAIRS = [
    *((DOCS / f"{name}.md", DOCS / f"{name}.ru.md") for name in USER_PAGES),
    (DOCS / "README.md", DOCS / "README.ru.md"),
]
IDS = [pair[0].stem for pair in PAIRS]
CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def shape(page: Path) -> list[str]:
    """Levels of headings, rows of tables and items of lists, in order: what a translation keeps."""
    return re.findall(r"^(#+ |\|(?=.)|[-*] |\d+\. )", prose(page), re.MULTILINE)


@pytest.mark.parametrize(("english", "russian"), PAIRS, ids=IDS)
def test_both_languages_have_the_same_sections_tables_and_blocks(english: Path, russian: Path) -> None:
    assert shape(english) == shape(russian)
    kinds = [
        [(block.language, block.about, block.name) for block in blocks_of(page)]
        for page in (english, russian)
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(("english", "russian"), PAIRS, ids=IDS)
def test_each_page_links_to_the_other_language(english: Path, russian: Path) -> None:
    assert f"[По-русски]({russian.name})" in english.read_text("utf-8")
    assert f"[In English]({english.name})" in russian.read_text("utf-8")


@pytest.mark.parametrize("russian", [pair[1] for pair in PAIRS], ids=IDS)
def test_russian_pages_lead_to_russian_pages_and_name_the_others(russian: Path) -> None:
    """A link from Russian text to a page that exists in Russian goes there."""
    text = prose(russian).replace(f"[In English]({russian.name.replace('.ru.md', '.md')})", "")
    translated = {page.name for page, _ in PAIRS}
    wrong = [target for target in LINK.findall(text) if target.partition("#")[0] in translated]
    assert not wrong


@pytest.mark.parametrize("russian", [pair[1] for pair in PAIRS], ids=IDS)
def test_every_paragraph_and_row_is_translated(russian: Path) -> None:
    lines = [
        line
        for line in prose(russian).splitlines()
        if re.search(r"[A-Za-z]{3} [A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", re.sub(r"`[^`]*`", "", line))
    ]
    assert not [line for line in lines if not CYRILLIC.search(line)]
