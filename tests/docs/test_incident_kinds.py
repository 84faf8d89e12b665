"""The table of incident kinds in the documentation is that of the code."""

from __future__ import annotations

import re

from dozor.config.values.incident_kinds import KINDS, IncidentKind
from tests.house.sources import ROOT

AS_REPORTED = {
    IncidentKind.CHECKER: "as it says",
    IncidentKind.STORM: "of the worst",
}
"""Their severity is that of what they report."""


def test_every_kind_stands_there_with_its_default_severity() -> None:
    text = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
    table = text[text.index("| kind | reported when | severity |") :].split("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        names, _, severity = (cell.strip() for cell in line.strip("|").rsplit("|", 2))
        if "|" in names:
            names = names.partition("|")[0]
        for name in re.findall(r"`(\w+)`", line.split("|")[1]):
            found[name] = severity
    expected = {kind.value: AS_REPORTED.get(kind, traits.severity.value) for kind, traits in KINDS.items()}
    assert found == expected
