"""One round of asking every provider about one wallet: transactions confirmed, waiting or contradicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor_market.ton.agreement.comparison import (
    Agreement,
    Chain,
    Contradiction,
    Relation,
    Unconfirmed,
    agreement,
    contradictions,
    fork_of_cursor,
    newest_first,
    relate,
    unconfirmed,
)
from dozor_market.ton.messages.transactions import Position, Receipt
from dozor_market.ton.providers.history import ForkedHistoryError, StaleHistoryError
from dozor_market.ton.providers.port import Failure, Providers, ProvidersFailedError, Raw
from dozor_market.ton.reader import Wallet, read_page

CONFIRMATIONS: Final = 2
"""Providers that must have returned a transaction, unless only one is configured."""
COMPARED_PAGES: Final = 100
"""Pages by which one provider's history may be ahead of the next one's and still be compared with it."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Credit up to `agreement`. `single`: on the word of the only provider that is configured."""

    agreement: Agreement
    single: bool
    answers: str
    """What each provider answered, in one line."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Fewer than two providers answered with histories that can be compared: nothing is credited."""

    unconfirmed: tuple[Unconfirmed, ...]
    answers: str
    omitted: bool
    """Another provider answered without these transactions; otherwise the others did not answer."""


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Histories exclude each other: nothing is credited. `failed`: no provider has a usable history."""

    contradictions: tuple[Contradiction, ...]
    answers: str
    failed: str | None = None


class Round:
    """Asks the providers about one wallet."""

    def __init__(
        self, providers: Providers, wallet: Wallet, cursor: Position, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._providers = providers
        self._wallet = wallet
        self._cursor = cursor
        self._beat = beat
        self._failures: list[Failure] = []
        self._forks: list[Contradiction] = []

    async def ask(self) -> Confirmed | Waiting | Contradicted:
        """Raises ProvidersFailedError when no provider has a history at least as new as the cursor."""
        answers = await self._providers.ask_each(self._wallet.address, None, self._reading(None))
        self._beat()
        chains: list[Chain] = []
        for answer in answers:
            if isinstance(answer, Failure):
                self._failed(answer, ())
            else:
                chains.append(Chain(answer.provider, *answer.value))
        chains = await self._fetch_what_is_compared(newest_first(chains, self._cursor))
        return self._judge(chains)

    def _judge(self, chains: Sequence[Chain]) -> Confirmed | Waiting | Contradicted:
        single = len(self._providers.names) == 1
        said = self._said(chains)
        found = self._forks + contradictions(chains, self._cursor)
        if found:
            failed = None if chains else str(ProvidersFailedError(self._failures))
            return Contradicted(tuple(found), said, failed)
        if not chains:
            raise ProvidersFailedError(self._failures)
        agreed = agreement(chains, self._cursor, needed=1 if single else CONFIRMATIONS)
        if agreed is None:
            omitted = len(chains) > 1 or any(
                isinstance(failure.error, StaleHistoryError) for failure in self._failures
            )
            return Waiting(unconfirmed(chains, self._cursor.lt), said, omitted)
        return Confirmed(agreed, single, said)

    async def _fetch_what_is_compared(self, chains: list[Chain]) -> list[Chain]:
        """Each chain far enough back to be compared with the next. One whose pages fail is left out."""
        at = 0
        while at + 1 < len(chains):
            longer = await self._back_to(chains[at], chains[at + 1])
            if longer is None:
                del chains[at]
                at = max(at - 1, 0)
            else:
                chains[at] = longer
                at += 1
        return chains

    async def _back_to(self, chain: Chain, older: Chain) -> Chain | None:
        for _ in range(COMPARED_PAGES):
            if chain.rest is None or relate(chain, older, self._cursor) is not Relation.UNKNOWN:
                break
            answer = await self._providers.ask(
                chain.provider, self._wallet.address, chain.rest, self._reading(chain.rest)
            )
            self._beat()
            if isinstance(answer, Failure):
                self._failed(answer, chain.receipts)
                return None
            fresh, rest = answer.value
            chain = Chain(chain.provider, (*chain.receipts, *fresh), rest)
        return chain

    def _failed(self, failure: Failure, newer: Sequence[Receipt]) -> None:
        """Keep a failure. `newer`: what the provider returned before it, newest first."""
        self._failures.append(failure)
        if isinstance(failure.error, ForkedHistoryError):
            receipts = (*newer, *failure.error.receipts)
            self._forks.append(fork_of_cursor(failure.provider, receipts, self._cursor))

    def _reading(
        self, start: Position | None
    ) -> Callable[[Sequence[Raw]], tuple[tuple[Receipt, ...], Position | None]]:
        def read(raw: Sequence[Raw]) -> tuple[tuple[Receipt, ...], Position | None]:
            fresh, rest = read_page(raw, self._wallet, start, self._cursor)
            return tuple(fresh), rest

        return read

    def _said(self, chains: Sequence[Chain]) -> str:
        parts = [
            msg("log-ton-newest", provider=chain.provider, newest=_shown(chain.head(self._cursor)))
            for chain in chains
        ]
        parts += [f"{failure.provider}: {failure.reason}" for failure in self._failures]
        return "; ".join(parts)


def _shown(position: Position) -> str:
    return f"{position.lt}:{position.hash.hex()}" if position.lt else msg("log-ton-none")
