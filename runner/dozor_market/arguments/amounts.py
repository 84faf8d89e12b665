"""Amounts in the arguments of checkers: integers of the smallest unit, or decimal text with a unit. Pure.

`1500000000` and `"1.5 TON"` are the same limit. What could be misread is refused with the text that would be
right: null, true, floats (`1e9` and `1.5` lose digits or mean whole units), negative numbers, text without a
unit or with another currency's, a comma, more decimals than the currency has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from dozor.arguments import ArgumentProblem, Place
from dozor.language import msg
from dozor_market.ledger import MAX_AMOUNT

DECIMALS: Final = {"TON": 9, "USDT": 6}
"""Smallest units in one whole: 10 to this power. Other currencies are known to the database only."""
SHOWN: Final = 60
"""Characters of a wrong value that an error quotes."""
CURRENCY: Final = re.compile(r"[A-Z0-9]{2,12}")
_DECIMAL: Final = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?) +(\S+)")
_WITH_COMMA: Final = re.compile(r"([0-9]{1,30}),([0-9]{1,30}) *(\S*)")
_NEGATIVE: Final = re.compile(r"[-\u2212] *[0-9].*")
_BARE: Final = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_EXPONENT: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?[eE]\+?[0-9]{1,2}")
_GLUED: Final = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)([A-Z][A-Z0-9]{1,11})")


def read_amount(currency: str, value: object, most: int | None = MAX_AMOUNT) -> int:
    """Smallest units of `currency`, at most `most`. Raises ValueError that says what would be right."""
    if isinstance(value, str):
        return _in_range(currency, _read_text(currency, value), repr(value[:SHOWN]), most)
    if value is None:
        raise ValueError(msg("config-amount-null", right=_right(currency)))
    if isinstance(value, float):
        right = _in_units(currency, int(value)) if _whole(value) else _right(currency)
        raise ValueError(msg("config-amount-float", value=repr(value), right=right))
    if type(value) is not int:  # bool as well
        raise ValueError(msg("config-amount-type", value=repr(value)[:SHOWN], right=_right(currency)))
    return _in_range(currency, value, str(value)[:SHOWN], most)


def read_signed(currency: str, value: object) -> int:
    """As `read_amount`, for an amount that may be below zero: `-5`, `"-1.5 TON"`. Raises ValueError."""
    if type(value) is int and value < 0:
        return -read_amount(currency, -value)
    if isinstance(value, str) and value.strip().startswith("-"):
        return -read_amount(currency, value.strip().removeprefix("-"))
    return read_amount(currency, value)


def amount_problems(
    args: Mapping[str, Any], *names: str, most: int | None = MAX_AMOUNT, signed: bool = False
) -> Iterator[ArgumentProblem]:
    """What is wrong with the arguments `names` that are given, each a mapping of amounts by currency.

    signed: amounts below zero are allowed.
    """
    for name in names:
        if name in args:
            yield from _problems_of(name, args[name], most, signed=signed)


def read_amounts(name: str, given: Any, most: int | None = MAX_AMOUNT) -> dict[str, int]:
    """Argument `name` in smallest units; None is an argument that was not given. most: None for no limit.

    Raises ValueError with the first problem.
    """
    if given is None:
        return {}
    for problem in _problems_of(name, given, most):
        raise ValueError(msg("config-amount-in", name=".".join(map(str, problem.place)), text=problem.text))
    return {currency: read_amount(currency, value, most) for currency, value in given.items()}


def _problems_of(
    name: str, given: Any, most: int | None, *, signed: bool = False
) -> Iterator[ArgumentProblem]:
    if not isinstance(given, Mapping):
        yield ArgumentProblem((name,), msg("config-amounts-shape", value=repr(given)[:SHOWN]))
        return
    for currency, value in given.items():
        place: Place = (name, str(currency))
        if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
            yield ArgumentProblem(place, msg("config-amount-currency", value=repr(currency)[:SHOWN]))
            continue
        try:
            if signed:
                read_signed(currency, value)
            else:
                read_amount(currency, value, most)
        except ValueError as error:
            yield ArgumentProblem(place, str(error))


def _read_text(currency: str, text: str) -> int:
    stripped = text.strip()
    shown = repr(text[:SHOWN])
    if matched := _WITH_COMMA.fullmatch(stripped):
        right = f"{matched[1]}.{matched[2]} {currency}"
        raise ValueError(msg("config-amount-comma", value=shown, right=repr(right)))
    if _NEGATIVE.fullmatch(stripped):
        raise ValueError(msg("config-amount-negative", value=shown, right=_right(currency)))
    if _BARE.fullmatch(stripped):
        right = f'"{stripped} {currency}"'
        if stripped.isdigit():
            right = msg("config-amount-or", one=str(int(stripped)), other=right)
        raise ValueError(msg("config-amount-no-unit", value=shown, right=right))
    if _EXPONENT.fullmatch(stripped):  # YAML takes 1e9 as text
        whole = float(stripped)
        right = _in_units(currency, int(whole)) if _whole(whole) else _right(currency)
        raise ValueError(msg("config-amount-text", value=shown, right=right))
    if matched := _GLUED.fullmatch(stripped):
        right = f'"{matched[1]} {currency}"'
        raise ValueError(msg("config-amount-text", value=shown, right=right))
    matched = _DECIMAL.fullmatch(stripped)
    if matched is None:
        raise ValueError(msg("config-amount-text", value=shown, right=_right(currency)))
    number, unit = matched[1], matched[2]
    if unit != currency:
        raise ValueError(
            msg("config-amount-unit", value=shown, currency=currency, right=f'"{number} {currency}"')
        )
    decimals = DECIMALS.get(currency)
    if decimals is None:
        known = ", ".join(sorted(DECIMALS))
        raise ValueError(msg("config-amount-no-decimals", currency=currency, known=known))
    # Exact: 60 digits at most, and no operation that rounds to the context's precision.
    _, digits, exponent = Decimal(number).as_tuple()
    assert isinstance(exponent, int)
    units = int("".join(map(str, digits)))
    shift: int = decimals + exponent
    if shift < 0:
        whole_units: int = units // 10**-shift
        if units % 10**-shift:
            raise ValueError(msg("config-amount-decimals", value=shown, currency=currency, decimals=decimals))
        return whole_units
    scaled: int = units * 10**shift
    return scaled


def _in_range(currency: str, units: int, shown: str, most: int | None) -> int:
    if units < 0:
        raise ValueError(msg("config-amount-negative", value=shown, right=_right(currency)))
    if most is not None and units > most:
        raise ValueError(msg("config-amount-large", value=shown, most=str(most)))
    return units


def _whole(value: float) -> bool:
    return math.isfinite(value) and value >= 0 and value == int(value) and value <= MAX_AMOUNT


def _in_units(currency: str, whole: int) -> str:
    """Both readings of a number such as 1e9."""
    if currency not in DECIMALS:
        return str(whole)
    return msg("config-amount-or", one=str(whole), other=f'"{whole} {currency}"')


def _right(currency: str) -> str:
    """An example of what would be right."""
    decimals = DECIMALS.get(currency)
    if decimals is None:
        return "1000000000"
    return msg("config-amount-or", one=str(15 * 10 ** (decimals - 1)), other=f'"1.5 {currency}"')
