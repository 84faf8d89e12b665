"""Histories of several providers compared. Pure.

Each history is a hash chain that its provider cannot alter in the middle, so two histories agree on all that
is below a transaction that both contain, and only their newest part needs a second provider. One history that
ends earlier than another lags. Two that cover the same range and differ contradict each other: at least one
of them is false. An account that was deleted and created anew has a history that begins again; such a history
proves nothing about what was before it, so it does not contradict one that ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from dozor_market.ton.messages.transactions import Position, Receipt

RECORDED: Final = "recorded here"
"""Stands for a provider in the evidence: the cursor, which was confirmed in an earlier round."""
KEPT_AS_EVIDENCE: Final = 50
"""Transactions of one provider kept as evidence, the largest amounts first."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What one provider returned: its transactions newer than the cursor, newest first."""

    provider: str
    receipts: tuple[Receipt, ...]
    rest: Position | None
    """The transaction before the last receipt, not fetched yet; None: the chain is complete."""

    def head(self, cursor: Position) -> Position:
        """The newest transaction; the cursor when there is nothing newer."""
        return self.receipts[0].at if self.receipts else cursor

    @property
    def created_at(self) -> int | None:
        """Logical time at which the account was created; None: the history was not read back to that."""
        return self.receipts[-1].at.lt if self.receipts and self.receipts[-1].created else None


class Relation(StrEnum):
    """Of a history to another whose newest transaction is not newer."""

    CONTAINS = "contains"
    """It contains the other's newest transaction, and with it, by the hash chain, all of the other."""
    EXCLUDES = "excludes"
    """It covers the other's newest transaction's logical time and does not contain it."""
    BEGINS_LATER = "begins later"
    """It is that of an account created after the other's newest transaction. Both may be true: the account
    was deleted in between and the other one lags. It neither confirms nor excludes the other. Only of a
    wallet that was read before: without a cursor nothing shows that there was an account to delete."""
    UNKNOWN = "unknown"
    """It has not been fetched as far back as that."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one provider says in a contradiction."""

    provider: str
    newest: Position
    disputed: tuple[Receipt, ...]
    """Its transactions that the other excludes, largest amount first, at most KEPT_AS_EVIDENCE."""
    count: int
    """How many those are altogether, as far as they were fetched."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two histories of which at most one is true."""

    statements: tuple[Statement, Statement]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A transaction that fewer than two providers returned, and which ones did."""

    receipt: Receipt
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The newest part of the history that is confirmed."""

    chain: Chain
    """Begins at the newest confirmed transaction."""
    unconfirmed: tuple[Unconfirmed, ...]
    """Newer than that, and from before the account was created anew; oldest first."""


def relate(newer: Chain, older: Chain, cursor: Position) -> Relation:
    """Whether `newer` contains the newest transaction of `older`."""
    target = older.head(cursor)
    if cursor.lt and newer.created_at is not None and target.lt < newer.created_at:
        return Relation.BEGINS_LATER
    if target == cursor:
        return Relation.CONTAINS if newer.rest is None else Relation.UNKNOWN
    for receipt in newer.receipts:
        if receipt.at.lt <= target.lt:
            return Relation.CONTAINS if receipt.at == target else Relation.EXCLUDES
    if newer.rest is None or newer.rest.lt < target.lt:
        return Relation.EXCLUDES
    if newer.rest.lt == target.lt:
        return Relation.CONTAINS if newer.rest == target else Relation.EXCLUDES
    return Relation.UNKNOWN


def newest_first(chains: Iterable[Chain], cursor: Position) -> list[Chain]:
    """In the order in which neighbours are compared. Equal heads stay in the given order."""
    return sorted(chains, key=lambda chain: chain.head(cursor).lt, reverse=True)


def contradictions(chains: Sequence[Chain], cursor: Position) -> list[Contradiction]:
    """Those between neighbours of `chains`, newest first. None: no two chains contradict each other."""
    return [
        dispute(newer, older, cursor)
        for newer, older in pairwise(chains)
        if relate(newer, older, cursor) is Relation.EXCLUDES
    ]


def dispute(one: Chain, other: Chain, cursor: Position) -> Contradiction:
    """What each of two chains has above their newest common transaction."""
    ours, theirs = ({receipt.at for receipt in chain.receipts} for chain in (one, other))
    common = max((at.lt for at in ours & theirs), default=cursor.lt)
    return Contradiction(
        (_statement(one, theirs, common, cursor), _statement(other, ours, common, cursor)),
    )


def fork_of_cursor(provider: str, receipts: Sequence[Receipt], cursor: Position) -> Contradiction:
    """A provider's valid history excludes the cursor, which an earlier round had confirmed."""
    chain = Chain(provider, tuple(receipts), None)
    recorded = Statement(RECORDED, cursor, (), 0)
    return Contradiction((_statement(chain, set(), -1, cursor), recorded))


def _statement(chain: Chain, excluded_from: set[Position], above: int, cursor: Position) -> Statement:
    disputed = [
        receipt for receipt in chain.receipts if receipt.at.lt > above and receipt.at not in excluded_from
    ]
    largest = sorted(disputed, key=lambda receipt: max(receipt.amount, receipt.attached), reverse=True)[
        :KEPT_AS_EVIDENCE
    ]
    return Statement(chain.provider, chain.head(cursor), tuple(largest), len(disputed))


def agreement(chains: Sequence[Chain], cursor: Position, *, needed: int) -> Agreement | None:
    """The newest transaction that `needed` (1 or 2) providers returned. None: there is none.

    `chains`: newest first, without a contradiction.
    """
    at = next(
        (
            index
            for index in range(needed - 1, len(chains))
            if needed == 1 or relate(chains[index - 1], chains[index], cursor) is Relation.CONTAINS
        ),
        None,
    )
    if at is None:
        return None
    confirmed = chains[at]
    created = confirmed.created_at
    lost = [chain for chain in chains[at + 1 :] if created is not None and chain.head(cursor).lt < created]
    newer = unconfirmed(chains[:at], confirmed.head(cursor).lt)
    return Agreement(confirmed, (*unconfirmed(lost, cursor.lt), *newer))


def unconfirmed(chains: Sequence[Chain], above: int) -> tuple[Unconfirmed, ...]:
    """The transactions above a logical time, oldest first, each with the providers that have it."""
    found: dict[Position, Receipt] = {}
    providers: dict[Position, list[str]] = {}
    for chain in chains:
        for receipt in chain.receipts:
            if receipt.at.lt > above:
                found.setdefault(receipt.at, receipt)
                providers.setdefault(receipt.at, []).append(chain.provider)
    return tuple(
        Unconfirmed(receipt, tuple(providers[at]))
        for at, receipt in sorted(found.items(), key=lambda item: item[0].lt)
    )
