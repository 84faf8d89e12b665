"""What the marketplace's checkers set aside, for a person: list it, and release it once it is repaired.

A released auction or presale that is due is processed at once, in the same transaction: if it is still
impossible it stays quarantined and the error says why. A released transaction is left to a rescan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import process_or_split
from dozor_market.auctions import settle
from dozor_market.decisions.auditing import Audit, with_reason
from dozor_market.ledger import LedgerError, transaction
from dozor_market.presales import refund

# The last reason of each; a row that a person set to quarantined by hand has none.
QUARANTINED_SQL: Final = """
WITH row (kind, id) AS (
        SELECT 'auction', id FROM market.auctions WHERE state = 'quarantined'
        UNION ALL
        SELECT 'presale', id FROM market.presales WHERE state = 'quarantined')
SELECT row.kind, row.id, last.reason, last.set_aside_at
  FROM row
  LEFT JOIN LATERAL (
        SELECT reason, set_aside_at FROM dozor.quarantine
         WHERE checker IN ('auctions', 'presales', 'presale reminders')
           AND item = row.kind || ' ' || row.id
         ORDER BY id DESC LIMIT 1) last ON true
UNION ALL
SELECT 'transaction', id, item || ': ' || reason, set_aside_at FROM dozor.quarantine
 WHERE checker = 'ton deposits'
 ORDER BY 1, 2"""
LOCK_AUCTION_SQL: Final = """
SELECT state, ends_at <= now() AS due FROM market.auctions WHERE id = $1 FOR UPDATE"""
LOCK_PRESALE_SQL: Final = """
SELECT state, deliver_by <= now() AS due FROM market.presales WHERE id = $1 FOR UPDATE"""
REOPEN_AUCTION_SQL: Final = """
UPDATE market.auctions SET state = 'open', closed_at = NULL, winning_bid_id = NULL WHERE id = $1"""
REOPEN_PRESALE_SQL: Final = """
UPDATE market.presales SET state = 'paid', closed_at = NULL, penalty_taken = NULL WHERE id = $1"""
AUCTION_STATE_SQL: Final = "SELECT state FROM market.auctions WHERE id = $1"
PRESALE_STATE_SQL: Final = "SELECT state FROM market.presales WHERE id = $1"
FORGET_TRANSACTION_SQL: Final = """
DELETE FROM dozor.quarantine WHERE id = $1 AND checker = 'ton deposits' RETURNING item, reason"""


class ItemKind(StrEnum):
    """What can be quarantined. A transaction's number is that of its row in dozor.quarantine."""

    AUCTION = "auction"
    PRESALE = "presale"
    TRANSACTION = "transaction"


class ReleaseError(LedgerError):
    """Nothing was released; the message says why."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One item. `reason` and `since` None: nothing was recorded about it."""

    kind: ItemKind
    id: int
    reason: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Released:
    """An item that was released. `state`: that of the row now, or what the transaction was called."""

    kind: ItemKind
    id: int
    state: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id} is released: {self.state}"


@dataclass(frozen=True, slots=True)
class _Rows:
    lock: str
    reopen: str
    state: str
    process: Callable[[Connection, Sequence[int]], Awaitable[Mapping[int, str]]]


AUCTION_ROWS: Final = _Rows(LOCK_AUCTION_SQL, REOPEN_AUCTION_SQL, AUCTION_STATE_SQL, settle)
PRESALE_ROWS: Final = _Rows(LOCK_PRESALE_SQL, REOPEN_PRESALE_SQL, PRESALE_STATE_SQL, refund)


async def read_quarantined(connection: Connection) -> list[Quarantined]:
    """Everything that waits for a person, by kind and number."""
    return [
        Quarantined(ItemKind(row["kind"]), row["id"], row["reason"], row["set_aside_at"])
        for row in await connection.fetch(QUARANTINED_SQL)
    ]


async def release(
    connection: Connection, kind: ItemKind, number: int, *, audit: Audit, reason: str = ""
) -> Released:
    """Release one item, with an entry in the audit. Raises ReleaseError."""
    async with transaction(connection):
        match kind:
            case ItemKind.AUCTION:
                state = await _release_row(connection, AUCTION_ROWS, f"auction {number}", number)
            case ItemKind.PRESALE:
                state = await _release_row(connection, PRESALE_ROWS, f"presale {number}", number)
            case ItemKind.TRANSACTION:
                row = await connection.fetchrow(FORGET_TRANSACTION_SQL, number)
                if row is None:
                    raise ReleaseError(msg("error-market-no-item", item=f"transaction {number}"))
                state = f"{row['item']}: {row['reason']}"
            case _:
                assert_never(kind)
        done = Released(kind, number, state)
        await audit.record(connection, "release", f"{kind} {number}", with_reason(str(done), reason))
    return done


async def _release_row(connection: Connection, rows: _Rows, item: str, number: int) -> str:
    """The state that the row has now."""
    row = await connection.fetchrow(rows.lock, number)
    if row is None:
        raise ReleaseError(msg("error-market-no-item", item=item))
    if row["state"] != "quarantined":
        raise ReleaseError(msg("error-market-not-quarantined", item=item, state=row["state"]))
    await connection.execute(rows.reopen, number)
    if row["due"]:
        impossible = await process_or_split(connection, rows.process, [number])
        if impossible:
            raise ReleaseError(msg("error-market-still-impossible", item=item, reason=impossible[number]))
    state: str = await connection.fetchval(rows.state, number)
    return state
