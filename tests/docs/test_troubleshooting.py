"""The messages that docs/troubleshooting.md quotes are messages of the program."""

from __future__ import annotations

import re

import pytest

import dozor.language
from tests.house.sources import ROOT

FOLDER = ROOT / "runner" / "dozor" / "language"


def messages(language: str) -> list[str]:
    """All texts of the language, one a line, with … for what is filled in."""
    found = []
    for path in sorted([*FOLDER.glob(f"*.{language}.ftl"), FOLDER / f"{language}.ftl"]):
        for line in path.read_text("utf-8").splitlines():
            _, separator, text = line.partition(" = ")
            if separator:
                found.append(re.sub(r"\{[^{}]*\}", "…", text))
    return found


def quoted(page: str) -> list[str]:
    """The first cell of each row, where it is one quotation of several words."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return [one for one in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) if " " in one]


@pytest.mark.parametrize(
    ("page", "language"), [("troubleshooting.md", "en"), ("troubleshooting.ru.md", "ru")]
)
def test_what_is_quoted_is_what_is_printed(page: str, language: str) -> None:
    texts = messages(language)
    hints = {"en": "; did you mean …?", "ru": "; может быть, …?"}
    texts.append({"en": "unknown key", "ru": "неизвестный ключ"}[language] + hints[language])
    assert hints[language] in texts
    found = quoted(page)
    assert len(found) > 20
    missing = [
        one
        for one in found
        if not any(re.search(".*".join(re.escape(piece) for piece in one.split("…")), text) for text in texts)
    ]
    assert not missing


def test_the_folder_of_texts_is_that_of_the_package() -> None:
    assert dozor.language.__file__ is not None
    assert str(FOLDER) in dozor.language.__file__
