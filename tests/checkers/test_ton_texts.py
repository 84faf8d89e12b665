"""Texts of providers that the database would refuse."""

from __future__ import annotations

import pytest

from dozor_market.ton.messages.texts import LONGEST, storable


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("два\n слова\t 😀", "два слова 😀"),
        ("a\0b", "a?b"),
        ("a\ud800b", "a?b"),
        ("\u202ea", "?a"),
        ("x" * 1000, "x" * LONGEST),
    ],
)
def test_a_text_is_kept_in_one_line_that_can_be_stored(text: str, kept: str) -> None:
    assert storable(text) == kept
    kept.encode()
