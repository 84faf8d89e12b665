"""Amounts as people read them. Pure."""

from __future__ import annotations

from typing import Final

TON_DECIMALS: Final = 9
"""Nanotons in one TON: 10 to this power."""


def in_whole(amount: int, decimals: int) -> str:
    """`amount` smallest units in whole ones, exactly: in_whole(1500, 3) is "1.5".

    decimals: smallest units in one whole, as a power of ten.
    """
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
