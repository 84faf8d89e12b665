"""Lengths of time as people write them: `250ms`, `60s`, `5m`, `1h30m`, `2d`, or a number of seconds."""

from __future__ import annotations

import math
import re

MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
LONGEST = 36_500 * 86_400.0
"""A hundred years, in seconds. Beyond it lie typing errors and overflowing dates."""

HOW_TO = "write 60s, 5m, 1h30m or a number of seconds"

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
_PART = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|[dhms])", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds, at least 0 and at most a hundred years.

    Units go from long to short, each at most once. Raises ValueError with a
    sentence in which `{value}` stands for the refused value.
    """
    seconds = _seconds(value)
    if math.isnan(seconds) or math.isinf(seconds):
        raise ValueError(f"{{value}} is not a length of time; {HOW_TO}")
    if seconds < 0:
        raise ValueError(f"{{value}} is negative; {HOW_TO}")
    if seconds > LONGEST:
        raise ValueError(f"{{value}} is more than a hundred years; {HOW_TO}")
    return seconds


def parse_positive(value: object) -> float:
    """As `parse_duration`, but at least a millisecond."""
    seconds = parse_duration(value)
    if seconds < 0.001:
        raise ValueError("{value} is too short; the shortest is 1ms")
    return seconds


def format_duration(seconds: float) -> str:
    """`seconds` (at least 0) in words `parse_duration` reads back, to the millisecond."""
    rest = round(seconds * 1000)
    parts = []
    for unit, size in MILLISECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{{value}} is not a duration; {HOW_TO}")
    if isinstance(value, str):
        return _read(value.strip())
    try:
        return float(value)
    except OverflowError:
        return LONGEST * 2


def _read(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    units = list(MILLISECONDS)
    total = 0.0
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(f"{{value}} is not a duration; {HOW_TO}")
        number, unit = part.groups()
        if unit not in units:
            raise ValueError(f"{{value}} is not a duration: units go from long to short, each once; {HOW_TO}")
        units = units[units.index(unit) + 1 :]
        total += float(number) * MILLISECONDS[unit]
        position = part.end()
    if position == 0:
        raise ValueError(f"{{value}} is not a duration; {HOW_TO}")
    return total / 1000
