"""Claims of the documentation about itself."""

from __future__ import annotations

import importlib.metadata
import re

from tests.house.sources import ROOT


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?([\w.]+)\]?", changelog, re.MULTILINE)
    assert versions[0] == importlib.metadata.version("dozor")
