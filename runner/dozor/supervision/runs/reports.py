"""What a checker reports of itself: what cannot be stored is an error of the call that gives it."""

from __future__ import annotations

import math
import operator
from datetime import datetime
from typing import Any

from dozor.clock import to_datetime

MOST = 2**63 - 1
"""The largest size: a bigint of PostgreSQL."""
OF_ANOTHER_PROCESS = (
    "ctx belongs to the process that the run was started in: report from there, not from a forked child"
)


def checked_progress(done: Any, total: Any) -> tuple[float, float]:
    """Raises TypeError for what is no number, ValueError for one that is not finite."""
    return _number("progress(): done", done), _number("progress(): total", total)


def checked_backlog(size: Any, oldest_at: Any, limit: Any) -> tuple[int, datetime | None, float | None]:
    """Raises TypeError for a wrong type, ValueError for a value that cannot be stored."""
    whole = _whole("backlog(): size", size)
    if not 0 <= whole <= MOST:
        raise ValueError(f"backlog(): size must be 0 to {MOST}")
    if oldest_at is not None:
        if not isinstance(oldest_at, datetime):
            raise TypeError(f"backlog(): oldest_at must be a datetime, not {type(oldest_at).__name__}")
        if oldest_at.tzinfo is None:
            raise ValueError("backlog(): oldest_at must be an aware datetime (with a timezone)")
        try:
            oldest_at = to_datetime(oldest_at.timestamp())
        except (OverflowError, OSError, ValueError):
            raise ValueError("backlog(): oldest_at is out of range") from None
    if limit is not None:
        limit = _number("backlog(): limit", limit)
        if limit < 0:
            raise ValueError("backlog(): limit must not be negative")
    return whole, oldest_at, limit


def _whole(name: str, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None


def _number(name: str, value: Any) -> float:
    kind = type(value)
    if not (hasattr(kind, "__float__") or hasattr(kind, "__index__")):
        raise TypeError(f"{name} must be a number, not {kind.__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number")
    return number
