"""No output is wider than its terminal, except for what cannot be broken; colours suit both backgrounds.

To look at all of it: `python -m tests.cli.captures FOLDER`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dozor.cli.terminal import layout
from tests.cli.captures import Capture, captures, columns_of, prepared
from tests.effort import SOAK

UNREADABLE = re.compile(r"\x1b\[(?:\d+;)*(?:3[346]|9[0-7]|37|38)(?:;\d+)*m")
"""Text in yellow, dark blue, cyan, white or a bright colour. Black on a coloured background is fine."""


def too_wide(one: Capture) -> list[str]:
    """Lines that are wider than the terminal, and of more than one word."""
    unit = re.compile(r"[A-Z][A-Za-z]+=|  \S*dozor service install ") if one.name == "service" else None
    return [
        line
        for line in one.lines
        if columns_of(line) > one.columns
        and len(line.split()) > 1
        and not (unit is not None and unit.match(line))
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("language", "columns"),
    [("ru", 40), *([("en", 80), ("ru", 120), ("en", 40), ("ru", 80), ("en", 120)] if SOAK else [])],
)
def test_outputs_fit_the_terminal(short_dir: Path, database: str, language: str, columns: int) -> None:
    folder = short_dir / f"captures-{language}-{columns}"
    folder.mkdir()
    prepared(folder, language, database)
    found = captures(folder, language, columns)
    assert {one.name: too_wide(one) for one in found if one.name != "run" and too_wide(one)} == {}, (
        "lines of the log are not broken: they are copied and searched"
    )
    assert [one.name for one in found if UNREADABLE.search(one.text)] == []
    by_name = {one.name: one for one in found}
    assert "payments" in by_name["status"].text
    assert by_name["incidents"].code == by_name["errors"].code == by_name["why"].code == 0
    assert by_name["check-bad"].code == by_name["no-command"].code == by_name["service-bad"].code == 2
    assert not [
        one.name for one in found if "Traceback" in one.text and one.name not in ("run", "try-failing")
    ]


@pytest.mark.parametrize("width", [10, 20, 39])
@pytest.mark.parametrize(
    "text", ["支払いサーバー 🚨 the gateway", "e\u0301" * 30, "слово " * 9, "x" * 95, ""]
)
def test_wide_characters_are_counted(text: str, width: int) -> None:
    assert columns_of(layout.cut(text, width)) <= width
    lines = layout.wrapped(text, width).split("\n")
    assert max(map(columns_of, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split()), "nothing is lost"
    assert columns_of(layout.padded(layout.cut(text, width), width)) == width


def test_lines_that_fit_stay_as_they_are() -> None:
    for text in ("a  b", "  indented", "trailing ", "a\n\nb", ""):
        assert layout.wrapped(text, 20) == text


def test_colours_count_nothing() -> None:
    assert layout.columns_of("\x1b[31m\x1b[1m✖\x1b[0m orders") == 8
