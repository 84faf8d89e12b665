"""Reading what is new in a wallet's history: newest first from the provider, oldest first to the ledger.

The history is read back from a transaction that is confirmed (see agreement.py), so it does not matter which
provider returns a page: each transaction is verified by the one after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor_market.ton.messages.transactions import Position, Receipt, read_transaction
from dozor_market.ton.providers.history import BrokenHistoryError, check_head, check_page, cut
from dozor_market.ton.providers.port import Providers, Raw, to_cell

KEPT_PAGES: Final = 1000
"""Pages kept in memory (100,000 transactions, some 60 MB). Of a longer history only each page's beginning is
remembered, and the page fetched again when its turn comes."""
BLOCK: Final = 1000
"""Transactions handed on at once, credited in one database transaction."""
START: Final = Position(0, b"")


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet of ours. Addresses in raw form."""

    address: str
    user_id: int | None
    after_lt: int
    jetton_wallets: Mapping[str, str]
    """Address of the jetton wallet to the currency."""


class News:
    """What is newer than `cursor`. `size` and `oldest_utime` are known once `find` has returned."""

    def __init__(
        self,
        providers: Providers,
        wallet: Wallet,
        cursor: Position,
        *,
        beat: Callable[[], None] = lambda: None,
        kept_pages: int = KEPT_PAGES,
    ) -> None:
        self._providers = providers
        self._wallet = wallet
        self._cursor = cursor
        self._beat = beat
        self._beginnings: list[Position] = []
        self._kept: deque[list[Receipt]] = deque(maxlen=kept_pages)
        self.size = 0
        self.oldest_utime: int | None = None

    async def find(self, known: Sequence[Receipt] = (), start: Position | None = None) -> None:
        """Page back until the cursor is met. Raises ProvidersFailedError.

        known: receipts that are confirmed, newest first, and `start`: the transaction before them; None: the
        cursor. Without them the history begins at the newest transaction of whichever provider answers, which
        nothing confirms.
        """
        if known:
            self._add(list(known))
            if start is None:
                return
        while True:
            fresh, start = await self._page(start, self._cursor)
            self._add(fresh)
            if start is None:
                return

    def _add(self, fresh: list[Receipt]) -> None:
        if fresh:
            self._beginnings.append(fresh[0].at)
            self._kept.append(fresh)
            self.size += len(fresh)
            self.oldest_utime = fresh[-1].utime

    async def blocks(self) -> AsyncIterator[list[Receipt]]:
        """Everything found, oldest first, each transaction once. Raises ProvidersFailedError."""
        block: list[Receipt] = []
        reached = self._cursor
        while self._beginnings:
            beginning = self._beginnings.pop()
            fresh = self._kept.pop() if self._kept else await self._again(beginning, reached)
            reached = fresh[0].at
            block += reversed(fresh)
            if len(block) >= BLOCK:
                yield block
                block = []
        if block:
            yield block

    async def _again(self, beginning: Position, reached: Position) -> list[Receipt]:
        """From `beginning` back to `reached`, fetched once more."""
        found: list[Receipt] = []
        start: Position | None = beginning
        while start is not None:
            fresh, start = await self._page(start, reached)
            found += fresh
        return found

    async def _page(self, start: Position | None, cursor: Position) -> tuple[list[Receipt], Position | None]:
        def read(raw: Sequence[Raw]) -> tuple[list[Receipt], Position | None]:
            return read_page(raw, self._wallet, start, cursor)

        result = await self._providers.page(self._wallet.address, start, read)
        self._beat()
        await asyncio.sleep(0)
        return result


def read_page(
    raw: Sequence[Raw], wallet: Wallet, start: Position | None, cursor: Position
) -> tuple[list[Receipt], Position | None]:
    """What a page holds that is newer than the cursor, newest first, and where the next page begins.

    start: where the page was asked to begin; None: it is the newest. Raises UnreadableTransactionError,
    StaleHistoryError when it is the newest and older than the cursor, ForkedHistoryError when it excludes the
    cursor, and BrokenHistoryError for everything else that does not fit.
    """
    page: list[Receipt] = []
    for number, one in enumerate(raw, 1):
        page.append(_read(one, wallet))
        if page[-1].at.lt <= max(cursor.lt, wallet.after_lt):
            _check_older(raw[number:], wallet, page[-1])
            break  # what was read before is not read again
    check_page(page, start)
    if start is None:
        check_head(page, cursor)
    return cut(page, cursor, wallet.after_lt)


def _read(one: Raw, wallet: Wallet) -> Receipt:
    return read_transaction(to_cell(one), wallet.address, wallet.jetton_wallets)


def _check_older(rest: Sequence[Raw], wallet: Wallet, last: Receipt) -> None:
    """The rest of a page, which is not read, is older than `last`. Raises BrokenHistoryError.

    A page in another order may begin with what is known and have its news behind it. The first and the last
    of the rest are looked at.
    """
    for one in (*rest[:1], *rest[-1:]):
        lt = _read(one, wallet).at.lt
        if lt >= last.at.lt:
            raise BrokenHistoryError(msg("error-history-not-newest-first", lt=last.at.lt, newer=lt))
