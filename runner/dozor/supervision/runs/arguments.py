"""Arguments of a checker: each run is given a copy of its own."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

_UNCHANGEABLE = (str, int, float, bool, bytes, date, type(None))


def fresh(value: Any) -> Any:
    """A copy of `value` that shares nothing changeable with it."""
    kind = type(value)
    if kind is list:
        return [fresh(item) for item in value]
    if kind is dict:
        return {key: fresh(item) for key, item in value.items()}
    return value if isinstance(value, _UNCHANGEABLE) else copy.deepcopy(value)
