"""Cancelling an auction by a person: every bid's money that is still held goes back to its bidder.

What goes back is what the ledger set aside, not what the bid's row says, so that a quarantined auction whose
rows were edited by hand can be cancelled as well. References: "bid:55:cancelled". The auction is unsold then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.decisions.auditing import Audit, with_reason
from dozor_market.ledger import LedgerError, transaction, worded

LOCK: Final = "SELECT state FROM market.auctions WHERE id = $1 FOR UPDATE"
# Bids whose money was never released, and those whose row says that it is held. `ended_by`: the movement that
# released it.
HOLDS: Final = """
SELECT b.id, b.state, b.hold_movement_id, ended.id AS ended_by,
       set_aside.reference = 'bid:' || b.id || ':held' AS own
  FROM market.bids b
  JOIN market.movements set_aside ON set_aside.id = b.hold_movement_id
  LEFT JOIN market.movements ended ON ended.ends_hold = b.hold_movement_id
 WHERE b.auction_id = $1 AND (b.state = 'held' OR ended.id IS NULL)
 ORDER BY b.id"""
# The reverse of the movements that set the money aside, posting by posting.
RETURN_HOLDS: Final = """
WITH back AS MATERIALIZED (
        SELECT b.id, b.hold_movement_id, nextval('market.movements_id_seq') AS movement_id
          FROM market.bids b WHERE b.id = ANY($1)),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT movement_id, 'bid:' || id || ':cancelled', hold_movement_id FROM back),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT back.movement_id, p.account_id, p.currency, -p.amount
          FROM back JOIN market.postings p ON p.movement_id = back.hold_movement_id
         ORDER BY p.account_id)
UPDATE market.bids b SET state = 'lost' FROM back WHERE b.id = back.id"""
CANCEL: Final = """
UPDATE market.auctions
   SET state = 'unsold', winning_bid_id = NULL, closed_at = clock_timestamp(),
       cancelled_at = clock_timestamp()
 WHERE id = $1"""


class CancellationError(LedgerError):
    """The auction stays as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An auction that was cancelled, and how many bids got their money back. As text: for the audit."""

    auction_id: int
    bids: int

    def __str__(self) -> str:
        return f"auction {self.auction_id} is cancelled, {self.bids} bid(s) got their money back"


async def cancel_auction(
    connection: Connection, auction_id: int, *, audit: Audit, reason: str = ""
) -> Cancelled:
    """Cancel an open or quarantined auction, with an entry in the audit.

    Raises CancellationError when it is closed, unknown, or a held bid's money has left already.
    """
    what = msg("error-market-cancellation", auction=str(auction_id))
    async with worded(what), transaction(connection):
        state = await connection.fetchval(LOCK, auction_id)
        if state is None:
            raise CancellationError(
                msg(
                    "error-market-bid-refused", auction=str(auction_id), reason=msg("error-market-no-auction")
                )
            )
        if state not in ("open", "quarantined"):
            raise CancellationError(msg("error-market-cancel-state", auction=str(auction_id), state=state))
        bids: list[int] = []
        for row in await connection.fetch(HOLDS, auction_id):
            bid = str(row["id"])
            if row["ended_by"] is not None:
                raise CancellationError(
                    msg(
                        "error-market-cancel-bid",
                        auction=str(auction_id),
                        bid=bid,
                        movement=str(row["ended_by"]),
                    )
                )
            if not row["own"]:
                raise CancellationError(
                    msg(
                        "error-market-cancel-hold",
                        auction=str(auction_id),
                        bid=bid,
                        movement=str(row["hold_movement_id"]),
                    )
                )
            bids.append(row["id"])
        if bids:
            await connection.execute(RETURN_HOLDS, bids)
        await connection.execute(CANCEL, auction_id)
        done = Cancelled(auction_id, len(bids))
        await audit.record(connection, "cancel", f"auction {auction_id}", with_reason(str(done), reason))
    return done
