"""A wallet's history as a chain. Pure.

Every transaction holds the logical time and hash of the one before it, and its own hash is computed from its
cell: pages that fit together cannot hide, invent, swap or repeat a transaction. What does not fit is the
provider's failure.

An account that was deleted and created anew begins a new chain: its first transaction names none before it
and finds the account nonexistent. A history that ends in such a transaction, newer than the cursor, is
accepted as far as it goes. A provider that makes one up could as well make up a transaction on top of the
cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from dozor.language import msg
from dozor_market.ton.messages.transactions import Position, Receipt

MAX_LT: Final = 2**63 - 1
"""Largest logical time that is accepted: a bigint keeps it, and the chain is far below (about 10**14)."""


class BrokenHistoryError(ValueError):
    """The provider's answer has a gap, repeats or reorders, or is older than what was read before."""


class StaleHistoryError(BrokenHistoryError):
    """The provider's newest transaction is older than the cursor: it lags, which is not a contradiction."""


class ForkedHistoryError(BrokenHistoryError):
    """A chain of valid transactions that passes the cursor without meeting it.

    `receipts`: the provider's transactions that are newer than the cursor, newest first.
    """

    def __init__(self, message: str, receipts: Sequence[Receipt] = ()) -> None:
        super().__init__(message)
        self.receipts = tuple(receipts)


def check_head(page: Sequence[Receipt], cursor: Position) -> None:
    """The newest page is at least as new as the cursor. Raises StaleHistoryError."""
    newest = page[0].at.lt if page else 0
    if newest < cursor.lt:
        raise StaleHistoryError(msg("error-history-older", newest=newest, lt=cursor.lt))


def check_page(page: Sequence[Receipt], expected: Position | None) -> None:
    """The page is a chain, newest first, and begins at `expected`. Raises BrokenHistoryError."""
    if not page:
        if expected is not None:
            raise BrokenHistoryError(msg("error-history-empty-page", lt=expected.lt))
        return
    if expected is not None and page[0].at != expected:
        raise BrokenHistoryError(msg("error-history-wrong-start", lt=page[0].at.lt, wanted=expected.lt))
    for receipt in page:
        if not receipt.before.lt < receipt.at.lt <= MAX_LT:
            raise BrokenHistoryError(msg("error-history-order", lt=receipt.at.lt, before=receipt.before.lt))
    for newer, older in pairwise(page):
        if newer.before != older.at:
            raise BrokenHistoryError(
                msg("error-history-gap", lt=newer.at.lt, after=newer.before.lt, wanted=older.at.lt)
            )


def cut(page: Sequence[Receipt], cursor: Position, after_lt: int) -> tuple[list[Receipt], Position | None]:
    """The part of a page newer than the cursor, and where the next page begins; None: nothing is left.

    `after_lt`: nothing at or before it is wanted. Raises ForkedHistoryError when the page passes the cursor
    without meeting it: the chain below is not the one that was read before.
    """
    fresh: list[Receipt] = []
    for receipt in page:
        if receipt.at.lt <= cursor.lt:
            if receipt.at != cursor:
                raise ForkedHistoryError(msg("error-history-lost", lt=cursor.lt), [*fresh, receipt])
            return fresh, None
        if receipt.at.lt <= after_lt:
            return fresh, None
        fresh.append(receipt)
    if not page:
        return fresh, None
    before = page[-1].before
    if before == cursor or (cursor.lt <= after_lt and before.lt <= after_lt):
        return fresh, None
    if page[-1].created:
        return fresh, None  # deleted and created anew after the cursor: nothing before it can be reached
    if before.lt <= cursor.lt:
        raise ForkedHistoryError(msg("error-history-lost", lt=cursor.lt), fresh)
    return fresh, before
