"""Amounts of memory as people write them: `512MB`, `1.5GB`, `1GiB`, or a number of bytes."""

from __future__ import annotations

import re

from dozor.language import msg

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SHORT = {"k": "kb", "m": "mb", "g": "gb"}
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMG]i?B|[KMG]|B)?\s*", re.ASCII | re.IGNORECASE)


def how_to() -> str:
    """What it may look like, for the end of a sentence."""
    return msg("config-size-forms")


def parse_size(value: object) -> int:
    """Bytes, at least a megabyte. Raises ValueError with a sentence; `{value}` stands for the value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(msg("config-not-size", value="{value}", form=how_to()))
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError(msg("config-not-size", value="{value}", form=how_to()))
    unit = (match[2] or "b").lower()
    size = int(float(match[1]) * _UNITS[_SHORT.get(unit, unit)])
    if size < 10**6:
        raise ValueError(msg("config-size-too-small", value="{value}"))
    return size


def format_size(size: int) -> str:
    """`size` in words `parse_size` reads back."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.12g}{unit}"
    return f"{size}B"
