"""The auctions' checker: auctions past their end are settled, each exactly once.

The best bid (by amount, then time, then id) pays the seller less the marketplace's fee and the others are
released; without bids, or below the reserve, the thing stays unsold. One statement does a whole batch, with
one movement for each auction sold ("auction:17:settled") and for each bid released ("bid:55:released").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dozor.arguments import checks_args
from dozor.language import msg
from dozor.storage.postgres.pool import Connection, Row
from dozor.toolkit import Queue, drain
from dozor.toolkit.context import CheckerContext
from dozor_market.arguments.counts import check_queue_args

CLAIM: Final = """
SELECT id FROM market.auctions WHERE state = 'open' AND ends_at <= now()
 ORDER BY ends_at, id LIMIT $1 FOR UPDATE SKIP LOCKED"""
BACKLOG: Final = (
    "SELECT count(*), min(ends_at) FROM market.auctions WHERE state = 'open' AND ends_at <= now()"
)
SET_ASIDE: Final = "UPDATE market.auctions SET state = 'quarantined' WHERE id = $1"

# One row a bid: the best alone of an open auction, where no other is held, all of a sealed one, nulls when
# there is none. `agrees` when the best is held, none was paid or lost, and each held one is what the ledger
# set aside for it.
RANKED: Final = """
SELECT a.id AS auction_id, a.currency, a.fee_bps, a.reserve_price, seller.id AS seller_account,
       b.id AS bid_id, b.amount, b.state AS bid_state, b.hold_movement_id,
       held.id AS held_account, free.id AS free_account,
       row_number() OVER ranking AS place,
       bool_and((seller.id IS NOT NULL
                 AND (b.id IS NULL OR b.state = 'outbid'
                      OR b.state = 'held' AND hold.amount = b.amount AND free.id IS NOT NULL)
                ) IS TRUE) OVER whole
       AND first_value(b.state) OVER ranking IS DISTINCT FROM 'outbid' AS agrees
  FROM market.auctions a
  LEFT JOIN market.accounts seller
    ON seller.user_id = a.seller_id AND seller.kind = 'available' AND seller.currency = a.currency
  LEFT JOIN LATERAL (
        SELECT * FROM market.bids WHERE auction_id = a.id ORDER BY amount DESC, placed_at, id
         LIMIT CASE WHEN a.sealed THEN NULL ELSE 1 END) b ON true
  LEFT JOIN market.accounts held
    ON held.user_id = b.bidder_id AND held.kind = 'held' AND held.currency = a.currency
  LEFT JOIN market.accounts free
    ON free.user_id = b.bidder_id AND free.kind = 'available' AND free.currency = a.currency
  LEFT JOIN market.postings hold  -- + 0: by the movement, never by an account with a million postings
    ON hold.movement_id = b.hold_movement_id AND hold.account_id + 0 = held.id
 WHERE a.id = ANY($1)
WINDOW ranking AS (PARTITION BY a.id ORDER BY b.amount DESC, b.placed_at, b.id),
       whole AS (PARTITION BY a.id)"""

SETTLE: Final = f"""
WITH ranked AS MATERIALIZED (
        SELECT r.*, r.place = 1 AND r.bid_id IS NOT NULL AND r.amount >= coalesce(r.reserve_price, 0) AS wins
          FROM ({RANKED}) r WHERE r.agrees),
     step AS MATERIALIZED (
        SELECT r.*, nextval('market.movements_id_seq') AS movement_id, house.id AS house_account,
               CASE WHEN r.wins THEN market.fee(r.amount, r.fee_bps) ELSE 0 END AS fee
          FROM ranked r
          JOIN market.accounts house
            ON house.user_id IS NULL AND house.kind = 'house' AND house.currency = r.currency
         WHERE r.bid_state = 'held'),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT movement_id, CASE WHEN wins THEN 'auction:' || auction_id || ':settled'
                                 ELSE 'bid:' || bid_id || ':released' END, hold_movement_id
          FROM step),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT step.movement_id, side.account_id, step.currency, side.amount
          FROM step CROSS JOIN LATERAL (VALUES
               (held_account, -step.amount),
               (CASE WHEN wins THEN seller_account ELSE free_account END, step.amount - fee),
               (house_account, fee)) AS side (account_id, amount)
         WHERE side.amount <> 0 ORDER BY side.account_id),
     bid AS (
        UPDATE market.bids b SET state = CASE WHEN step.wins THEN 'won' ELSE 'lost' END
          FROM step WHERE b.id = step.bid_id)
UPDATE market.auctions a
   SET state = CASE WHEN r.wins THEN 'settled' ELSE 'unsold' END, closed_at = now(),
       winning_bid_id = CASE WHEN r.wins THEN r.bid_id END
  FROM ranked r WHERE r.place = 1 AND a.id = r.auction_id
RETURNING a.id"""  # noqa: S608 -- put together from the constant above

# Every join is a handful of index probes a row. A plan that hashes whole tables is fast while they are small
# and slow from then on; the planner, which has no estimate of the number of ids, must not choose it.
BY_INDEX: Final = (
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off"
)

# One row a bid that does not agree, or one without a bid when only the seller's account is missing.
DIAGNOSE: Final = """
SELECT a.id, a.currency, seller.id IS NULL AS no_seller, b.id AS bid_id, b.bidder_id, b.amount,
       b.state AS bid_state, hold.amount AS held
  FROM market.auctions a
  LEFT JOIN market.accounts seller
    ON seller.user_id = a.seller_id AND seller.kind = 'available' AND seller.currency = a.currency
  LEFT JOIN (market.bids b
             JOIN market.auctions own ON own.id = b.auction_id
             LEFT JOIN market.accounts held
               ON held.user_id = b.bidder_id AND held.kind = 'held' AND held.currency = own.currency
             LEFT JOIN market.postings hold
               ON hold.movement_id = b.hold_movement_id AND hold.account_id = held.id)
    ON b.auction_id = a.id
       AND (b.state NOT IN ('held', 'outbid') OR b.state = 'held' AND hold.amount IS DISTINCT FROM b.amount)
 WHERE a.id = ANY($1) AND (seller.id IS NULL OR b.id IS NOT NULL)
 ORDER BY a.id, b.id"""


async def settle(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Settle these auctions, locked by the caller. Returns the impossible ones, untouched, with reasons."""
    await connection.execute(BY_INDEX)
    settled = {row["id"] for row in await connection.fetch(SETTLE, ids)}
    impossible = [auction for auction in ids if auction not in settled]
    if not impossible:
        return {}
    reasons: dict[int, list[str]] = {auction: [] for auction in impossible}
    for row in await connection.fetch(DIAGNOSE, impossible):
        found = reasons[row["id"]]
        if row["no_seller"] and not found:
            found.append(msg("error-market-seller-account", currency=row["currency"]))
        if row["bid_id"] is not None:
            found.append(_fault_of_bid(row))
    return {auction: "; ".join(found) or msg("error-market-leaderless") for auction, found in reasons.items()}


def _fault_of_bid(row: Row) -> str:
    """Why a bid's row does not agree with the ledger, in words."""
    bid = str(row["bid_id"])
    if row["bid_state"] != "held":
        return msg("error-market-bid-state", bid=bid, state=row["bid_state"])
    if row["held"] is None:
        return msg("error-market-bid-no-hold", bid=bid, user=str(row["bidder_id"]), currency=row["currency"])
    return msg("error-market-bid-hold", bid=bid, amount=str(row["amount"]), held=str(row["held"]))


AUCTIONS: Final = Queue(
    name="auctions", item="auction", claim=CLAIM, backlog=BACKLOG, set_aside=SET_ASIDE, process=settle
)


@checks_args(check_queue_args)
async def check_auctions(
    ctx: CheckerContext, *, batch: int = 5000, workers: int = 2, behind_after: float | None = 900.0
) -> None:
    """Settle every auction that has ended. `behind_after`: seconds one may wait before people are alerted."""
    settled = await drain(ctx, AUCTIONS, batch=batch, workers=workers, behind_after=behind_after)
    if settled:
        ctx.log.info(msg("log-auctions-closed", counts=settled))
