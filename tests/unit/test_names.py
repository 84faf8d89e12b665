"""Which task is meant: exact, part of a name, typo."""

from __future__ import annotations

import pytest

from dozor.control.task_names import Ambiguous, Found, NotFound, resolve

NAMES = ("auctions_checker", "presale_checker", "presale", "ton-deposits", "auctions_report")


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("presale", Found("presale")),
        ("PRESALE_CHECKER", Found("presale_checker")),
        ("presale_c", Found("presale_checker")),
        ("ton", Found("ton-deposits")),
        ("ton_deposits", Found("ton-deposits")),
        ("ton deposits", Found("ton-deposits")),
        ("report", Found("auctions_report")),
        ("auctions", Ambiguous(("auctions_checker", "auctions_report"))),
        ("checker", Ambiguous(("auctions_checker", "presale_checker"))),
        ("presle_cheker", NotFound(("presale_checker", "presale"))),
        ("🦊", NotFound(())),
        ("", NotFound(())),
        ("x" * 5000, NotFound(())),
    ],
)
def test_a_name_is_resolved(query: str, meant: object) -> None:
    assert resolve(query, NAMES) == meant


def test_without_tasks_nothing_is_found() -> None:
    assert resolve("x", ()) == NotFound(())
