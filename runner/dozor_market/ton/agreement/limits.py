"""How much is credited on the word of a single provider. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dozor.language import msg
from dozor_market.arguments.amounts import read_amounts
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.messages.transactions import Receipt

DEFAULT_LIMIT: Final = {"TON": 1_000 * 10**9, "USDT": 5_000 * 10**6}
"""Largest single transfer, in smallest units. A currency without a limit has the limit 0."""
DEFAULT_WINDOW_LIMIT: Final = {"TON": 10_000 * 10**9, "USDT": 50_000 * 10**6}
"""Largest sum of the transfers within one window."""


@dataclass(frozen=True, slots=True)
class SingleSourceLimits:
    """In smallest units, by currency; one that is not named has the limit 0. `window` in seconds."""

    transaction: Mapping[str, int]
    in_window: Mapping[str, int]
    window: float


def read_limits(
    transaction: Mapping[str, int | str] | None, in_window: Mapping[str, int | str] | None, window: Any
) -> SingleSourceLimits:
    """The defaults with what the arguments change. Raises ValueError."""
    if isinstance(window, bool) or not isinstance(window, int | float) or not window > 0:
        raise ValueError(msg("error-deposit-window", value=repr(window)))
    return SingleSourceLimits(
        {**DEFAULT_LIMIT, **read_amounts("single_source_limit", transaction, None)},
        {**DEFAULT_WINDOW_LIMIT, **read_amounts("single_source_window_limit", in_window, None)},
        float(window),
    )


def over_limit(
    receipts: Sequence[Receipt],
    dust: Mapping[str, int],
    limits: SingleSourceLimits,
    used: Mapping[str, int],
) -> tuple[list[Receipt], dict[str, int]]:
    """The receipts of a block that are not booked on one provider's word, and what the others add up to.

    All money counts, whatever the kind of the transaction: deposits, our own transfers that came back, TON
    attached for the account `operating`.
    `used`: smallest units booked within the window so far, by currency. Receipts are judged oldest first;
    one that does not fit does not use up anything. Deposits below the dust limit, and what the ledger cannot
    hold and sets aside, are not posted and not counted. Attached TON below the dust limit is counted, but
    does not hold back a receipt: nearly every jetton notification carries 1 nanoton.
    """
    held: list[Receipt] = []
    added: dict[str, int] = {}
    for receipt in receipts:
        if max(receipt.amount, receipt.attached) > MAX_AMOUNT:
            continue
        money = _money(receipt, dust)
        totals = {
            currency: used.get(currency, 0) + added.get(currency, 0) + amount
            for currency, amount in money.items()
        }
        if any(
            amount > limits.transaction.get(currency, 0)
            or totals[currency] > limits.in_window.get(currency, 0)
            for currency, amount in money.items()
        ):
            held.append(receipt)
            continue
        if receipt.attached and "TON" not in money:
            money["TON"] = receipt.attached
        for currency, amount in money.items():
            added[currency] = added.get(currency, 0) + amount
    return held, added


def _money(receipt: Receipt, dust: Mapping[str, int]) -> dict[str, int]:
    """What is judged by the limits, by currency. No receipt has both a deposit in TON and attached TON."""
    given = ((receipt.currency, receipt.amount), ("TON", receipt.attached))
    return {currency: amount for currency, amount in given if amount and amount >= dust.get(currency, 0)}
