"""The licences of the lock, checked in every run of the suite; vulnerabilities are `make audit`'s."""

from __future__ import annotations

import pytest

from tests.house.audit import ROOT, UNNAMED, licence_file, licences, read_lock, refused


def test_every_package_of_the_lock_has_a_licence_that_is_allowed() -> None:
    locked = read_lock((ROOT / "requirements-dev.lock").read_text("utf-8"))
    found = licences(locked)
    assert len(found) > 50
    assert refused(found) == []


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True), ("Apache-2.0 OR GPL-3.0", True), ("MIT AND GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False), ("", False), ("AGPL-3.0", False),
        ("Proprietary", False), ("Apache-2.0 AND BSD-2-Clause", True),
    ],
)  # fmt: skip
def test_a_licence_is_judged_by_each_of_its_parts(licence: str, allowed: bool) -> None:
    assert (refused([("x", licence)]) == []) is allowed


@pytest.mark.parametrize("name", UNNAMED)
def test_an_exception_is_what_the_installed_licence_file_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert licence_file(name) == UNNAMED[name]
    assert refused(licences([name])) == []
    monkeypatch.setitem(UNNAMED, name, "Another Licence")  # the file is not what was looked up
    assert [one for one, _ in refused(licences([name]))] == [name]
