"""The peer of the settlement benchmark: one script, one transaction, the same postings.

Written as somebody would who knows that nothing else runs, nothing is wrong in the data and nobody kills
it: no locks, no batches, no check of the rows. Once without the ledger's guards (it sums the balances
itself), which is the least that this work can cost, and once against the tables as they are.
"""

from __future__ import annotations

from typing import Final

DEALS: Final = """
CREATE TEMP TABLE deal ON COMMIT DROP AS
SELECT ranked.*, best AND amount >= coalesce(reserve_price, 0) AS wins,
       nextval('market.movements_id_seq') AS movement_id
  FROM (SELECT a.id AS auction_id, a.seller_id, a.currency, a.fee_bps, a.reserve_price,
               b.id AS bid_id, b.bidder_id, b.amount, b.hold_movement_id,
               row_number() OVER (PARTITION BY a.id ORDER BY b.amount DESC, b.placed_at, b.id) = 1 AS best
          FROM market.auctions a LEFT JOIN market.bids b ON b.auction_id = a.id AND b.state = 'held'
         WHERE a.state = 'open' AND a.ends_at <= now()) ranked;
CREATE TEMP TABLE side ON COMMIT DROP AS
SELECT d.movement_id, a.id AS account_id, d.currency, -d.amount AS amount
  FROM deal d
  JOIN market.accounts a ON a.user_id = d.bidder_id AND a.kind = 'held' AND a.currency = d.currency
UNION ALL
SELECT d.movement_id, a.id, d.currency, CASE WHEN wins THEN amount - amount * fee_bps / 10000 ELSE amount END
  FROM deal d
  JOIN market.accounts a ON a.user_id = CASE WHEN wins THEN seller_id ELSE bidder_id END
       AND a.kind = 'available' AND a.currency = d.currency
UNION ALL
SELECT d.movement_id, a.id, d.currency, amount * fee_bps / 10000
  FROM deal d JOIN market.accounts a ON a.user_id IS NULL AND a.kind = 'house' AND a.currency = d.currency
 WHERE wins AND amount * fee_bps / 10000 > 0;
ANALYZE deal;
ANALYZE side;
"""
POST: Final = """
WITH movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT movement_id, CASE WHEN wins THEN 'auction:' || auction_id || ':settled'
                                 ELSE 'bid:' || bid_id || ':released' END, hold_movement_id
          FROM deal WHERE bid_id IS NOT NULL)
INSERT INTO market.postings (movement_id, account_id, currency, amount)
SELECT movement_id, account_id, currency, amount FROM side;
"""
BALANCES: Final = """
UPDATE market.accounts a SET balance = a.balance + s.amount
  FROM (SELECT account_id, sum(amount) AS amount FROM side GROUP BY account_id) s WHERE a.id = s.account_id;
"""
CLOSE: Final = """
UPDATE market.bids b SET state = CASE WHEN d.wins THEN 'won' ELSE 'lost' END
  FROM deal d WHERE b.id = d.bid_id;
UPDATE market.auctions a
   SET state = CASE WHEN d.wins THEN 'settled' ELSE 'unsold' END, closed_at = now(),
       winning_bid_id = CASE WHEN d.wins THEN d.bid_id END
  FROM deal d WHERE a.id = d.auction_id AND d.best;
"""

UNGUARDED: Final = (
    f"BEGIN; SET LOCAL session_replication_role = replica; {DEALS}{POST}{BALANCES}{CLOSE} COMMIT;"
)
GUARDED: Final = f"BEGIN; {DEALS}{POST}{CLOSE} COMMIT;"
