"""The licences of the lock, checked in every run of the suite; vulnerabilities are `make audit`'s."""

from __future__ import annotations

import pytest

from tests.house.audit import ROOT, licences, read_lock, refused


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
