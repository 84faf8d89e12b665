"""What a checker reports of itself: refused in the call if it cannot be stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from dozor.supervision.runs.reports import checked_backlog, checked_progress

NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "oldest_at", "limit"),
    [(0, None, None), (3.0, NOW, 60), (2**63 - 1, NOW, Decimal("1.5")), (True, NOW, Fraction(1, 2))],
)
def test_what_can_be_stored_is_taken(size: Any, oldest_at: Any, limit: Any) -> None:
    whole, oldest, seconds = checked_backlog(size, oldest_at, limit)
    assert (whole, oldest) == (size, oldest_at)
    assert seconds is None or seconds == float(limit)


@pytest.mark.parametrize(
    ("size", "oldest_at", "limit", "error"),
    [
        (10**20, None, None, ValueError),
        (-1, None, None, ValueError),
        (2**63, None, None, ValueError),
        ("many", None, None, TypeError),
        (None, None, None, TypeError),
        (3.5, None, None, TypeError),
        (float("nan"), None, None, TypeError),
        (float("inf"), None, None, TypeError),
        (1, "2024-01-01", None, TypeError),
        (1, date(2024, 1, 1), None, TypeError),
        (1, 1700000000.0, None, TypeError),
        (1, datetime(2024, 1, 1), None, ValueError),  # noqa: DTZ001 -- naive on purpose
        (1, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))), None, ValueError),
        (1, NOW, "60", TypeError),
        (1, NOW, float("nan"), ValueError),
        (1, NOW, -1, ValueError),
        (1, NOW, 10**400, ValueError),
    ],
)
def test_what_cannot_be_stored_is_an_error_of_the_call(
    size: Any, oldest_at: Any, limit: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^backlog\(\): "):
        checked_backlog(size, oldest_at, limit)


@pytest.mark.parametrize(
    ("done", "total", "error"),
    [
        ("3 of", "5", TypeError),
        (1, None, TypeError),
        ([], 1, TypeError),
        (float("nan"), 1, ValueError),
        (1, float("inf"), ValueError),
        (10**400, 1, ValueError),
    ],
)
def test_progress_is_of_finite_numbers(done: Any, total: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^progress\(\): "):
        checked_progress(done, total)


def test_progress_of_any_kind_of_number() -> None:
    assert checked_progress(1, Decimal("2.5")) == (1.0, 2.5)
