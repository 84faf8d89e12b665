"""Lengths of time as people write them: `250ms`, `60s`, `5m`, `1h30m`, `2d`, or a number of seconds."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from dozor.language import msg

MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
LONGEST = 36_500 * 86_400.0
"""A hundred years, in seconds. Beyond it lie typing errors and overflowing dates."""


_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
_PART = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|[dhms])", re.ASCII)


def how_to() -> str:
    """What it may look like, for the end of a sentence."""
    return msg("config-duration-forms")


def parse_duration(value: object) -> float:
    """Seconds, at least 0 and at most a hundred years.

    Units go from long to short, each at most once. Raises ValueError with a
    sentence in which `{value}` stands for the refused value.
    """
    seconds = _seconds(value)
    if math.isnan(seconds) or math.isinf(seconds):
        raise ValueError(msg("config-not-length-of-time", value="{value}", form=how_to()))
    if seconds < 0:
        raise ValueError(msg("config-negative", value="{value}", form=how_to()))
    if seconds > LONGEST:
        raise ValueError(msg("config-hundred-years", value="{value}", form=how_to()))
    return seconds


def parse_positive(value: object) -> float:
    """As `parse_duration`, but at least a millisecond."""
    seconds = parse_duration(value)
    if seconds < 0.001:
        raise ValueError(msg("config-too-short", value="{value}"))
    return seconds


@lru_cache(maxsize=1024)
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
        raise ValueError(msg("config-not-duration", value="{value}", form=how_to()))
    if isinstance(value, str):
        return _read(value.strip())
    try:
        return float(value)
    except OverflowError:
        return LONGEST * 2


@lru_cache(maxsize=1024)  # thousands of tasks have a few lengths of time between them
def _read(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    units = list(MILLISECONDS)
    total = 0.0
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(msg("config-not-duration", value="{value}", form=how_to()))
        number, unit = part.groups()
        if unit not in units:
            raise ValueError(msg("config-duration-units", value="{value}", form=how_to()))
        units = units[units.index(unit) + 1 :]
        total += float(number) * MILLISECONDS[unit]
        position = part.end()
    if position == 0:
        raise ValueError(msg("config-not-duration", value="{value}", form=how_to()))
    return total / 1000
