"""How much is credited on the word of a single provider. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dozor.language import msg
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.transactions import Kind, Receipt

DEFAULT_LIMIT: Final = {"TON": 1_000 * 10**9, "USDT": 5_000 * 10**6}
"""Largest single transfer, in smallest units. A currency without a limit has the limit 0."""
DEFAULT_WINDOW_LIMIT: Final = {"TON": 10_000 * 10**9, "USDT": 50_000 * 10**6}
"""Largest sum of the transfers within one window."""
DEFAULT_WINDOW: Final = 86_400.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class SingleSourceLimits:
    """In smallest units, by currency; one that is not named has the limit 0. `window` in seconds."""

    transaction: Mapping[str, int]
    in_window: Mapping[str, int]
    window: float


def read_limits(
    transaction: Mapping[str, int] | None, in_window: Mapping[str, int] | None, window: Any
) -> SingleSourceLimits:
    """The defaults with what the arguments change. Raises ValueError."""
    if isinstance(window, bool) or not isinstance(window, int | float) or not window > 0:
        raise ValueError(msg("error-deposit-window", value=repr(window)))
    return SingleSourceLimits(
        {**DEFAULT_LIMIT, **_amounts("single_source_limit", transaction)},
        {**DEFAULT_WINDOW_LIMIT, **_amounts("single_source_window_limit", in_window)},
        float(window),
    )


def _amounts(name: str, given: Any) -> dict[str, int]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(msg("error-deposit-limits", name=name, value=repr(given)))
    for currency, amount in given.items():
        if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
            raise ValueError(msg("error-deposit-limit", name=f"{name}.{currency}", value=repr(amount)))
    return dict(given)


def over_limit(
    receipts: Sequence[Receipt],
    dust: Mapping[str, int],
    limits: SingleSourceLimits,
    used: Mapping[str, int],
) -> tuple[list[Receipt], dict[str, int]]:
    """The transfers of a block that are not credited on one provider's word, and what the others add up to.

    `used`: smallest units credited within the window so far, by currency. Transfers are judged oldest first;
    one that does not fit does not use up anything. Transfers below the dust limit, and those that the ledger
    cannot hold and sets aside, are not credited and not counted.
    """
    held: list[Receipt] = []
    added: dict[str, int] = {}
    for receipt in receipts:
        currency = receipt.currency
        if receipt.kind is not Kind.TRANSFER or not dust.get(currency, 0) <= receipt.amount <= MAX_AMOUNT:
            continue
        total = used.get(currency, 0) + added.get(currency, 0) + receipt.amount
        if receipt.amount > limits.transaction.get(currency, 0) or total > limits.in_window.get(currency, 0):
            held.append(receipt)
        else:
            added[currency] = added.get(currency, 0) + receipt.amount
    return held, added
