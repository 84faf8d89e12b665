"""CONTRIBUTING.md names files, directories and symbols that exist."""

from __future__ import annotations

import re

from tests.house.sources import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_every_path_in_it_exists() -> None:
    paths = re.findall(r"`((?:runner|bot|tests|docs|\.ci)/[\w./-]+)`", TEXT)
    assert len(paths) > 20
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_every_symbol_in_it_is_in_the_file_of_its_line() -> None:
    """Of a numbered line that names one file first, then symbols in backticks."""
    checked = 0
    for line in re.findall(r"^\d\. .*(?:\n   .*)*", TEXT, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", line)
        files = [name for name in names if name.endswith(".py")]
        symbols = [name for name in names if re.fullmatch(r"[A-Z]\w+", name)]
        if not files or not symbols:
            continue
        source = "".join((ROOT / file).read_text("utf-8") for file in files)
        assert not [symbol for symbol in symbols if symbol not in source], line
        checked += 1
    assert checked >= 3
