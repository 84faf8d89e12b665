"""A marketplace of any size, made by set-based SQL through the ledger's own guards."""

from __future__ import annotations

from typing import Final

from dozor.storage.postgres.pool import Connection

PEOPLE: Final = "INSERT INTO market.users (name) SELECT 'user ' || n FROM generate_series(1, $1::bigint) AS n"
GIFTS: Final = """
WITH gift AS MATERIALIZED (
        SELECT u.id AS user_id, a.id AS account_id, nextval('market.movements_id_seq') AS movement_id
          FROM market.users u
          JOIN market.accounts a ON a.user_id = u.id AND a.kind = 'available' AND a.currency = 'TON'),
     movement AS (
        INSERT INTO market.movements (id, reference) SELECT movement_id, 'seed:gift:' || user_id FROM gift)
INSERT INTO market.postings (movement_id, account_id, currency, amount)
SELECT movement_id, account_id, 'TON', $1::bigint FROM gift
UNION ALL
SELECT gift.movement_id, a.id, 'TON', -$1::bigint
  FROM gift JOIN market.accounts a ON a.kind = 'external' AND a.currency = 'TON'"""
AUCTIONS: Final = """
INSERT INTO market.auctions (seller_id, currency, sealed, reserve_price, fee_bps, created_at, ends_at)
SELECT 1 + n % $2::bigint, 'TON', $3, CASE WHEN n % 20 = 0 THEN 1000000 END, 250, now() - interval '2 days',
       now() - interval '1 day' * random()
  FROM generate_series(1, $1::bigint) AS n"""
# Bid k of an auction comes k minutes after its start, from people who are not its seller, each higher than
# the one before. In open auctions all but the last were released when they were beaten.
BIDS: Final = """
WITH bid AS MATERIALIZED (
        SELECT nextval('market.bids_id_seq') AS id, a.id AS auction_id, a.sealed, k,
               1 + (a.seller_id - 1 + k * 7 + a.id % 5) % $2::bigint AS bidder_id,
               1000 + 10 * k + a.id % 7 AS amount,
               a.created_at + interval '1 minute' * k AS placed_at,
               nextval('market.movements_id_seq') AS hold_id,
               nextval('market.movements_id_seq') AS release_id,
               NOT a.sealed AND k < $1::bigint AS beaten
          FROM market.auctions a CROSS JOIN generate_series(1, $1::bigint) AS k
         WHERE a.id BETWEEN $3::bigint AND $4::bigint),
     row AS (
        INSERT INTO market.bids (id, auction_id, bidder_id, amount, placed_at, state, hold_movement_id)
        SELECT id, auction_id, bidder_id, amount, placed_at,
               CASE WHEN beaten THEN 'outbid' ELSE 'held' END, hold_id
          FROM bid),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT hold_id, 'bid:' || id || ':held', NULL FROM bid
        UNION ALL SELECT release_id, 'bid:' || id || ':outbid', hold_id FROM bid WHERE beaten),
     side AS (
        SELECT hold_id AS movement_id, bidder_id, 'available' AS kind, -amount AS amount FROM bid
        UNION ALL SELECT hold_id, bidder_id, 'held', amount FROM bid
        UNION ALL SELECT release_id, bidder_id, 'available', amount FROM bid WHERE beaten
        UNION ALL SELECT release_id, bidder_id, 'held', -amount FROM bid WHERE beaten)
INSERT INTO market.postings (movement_id, account_id, currency, amount)
SELECT s.movement_id, a.id, 'TON', s.amount
  FROM side s JOIN market.accounts a ON a.user_id = s.bidder_id AND a.kind = s.kind AND a.currency = 'TON'"""
# Paid for an hour ago, due since: each seller has collateral for about one penalty in two.
PRESALES: Final = """
WITH presale AS MATERIALIZED (
        SELECT nextval('market.presales_id_seq') AS id, nextval('market.movements_id_seq') AS movement_id,
               1 + n % $2::bigint AS seller_id, 1 + (n + 3) % $2::bigint AS buyer_id, 2000 + n % 11 AS price
          FROM generate_series(1, $1::bigint) AS n),
     pledge AS MATERIALIZED (
        SELECT id, seller_id, nextval('market.movements_id_seq') AS movement_id
          FROM presale WHERE id % 2 = 0),
     row AS (
        INSERT INTO market.presales
               (id, seller_id, buyer_id, currency, price, penalty, deliver_by, payment_movement_id)
        SELECT id, seller_id, buyer_id, 'TON', price, 100, now() - interval '1 hour' * random(), movement_id
          FROM presale),
     movement AS (
        INSERT INTO market.movements (id, reference)
        SELECT movement_id, 'presale:' || id || ':paid' FROM presale
        UNION ALL SELECT movement_id, 'seed:pledge:' || id FROM pledge),
     side AS (
        SELECT movement_id, buyer_id AS user_id, 'available' AS kind, -price AS amount FROM presale
        UNION ALL SELECT movement_id, buyer_id, 'held', price FROM presale
        UNION ALL SELECT movement_id, seller_id, 'available', -100 FROM pledge
        UNION ALL SELECT movement_id, seller_id, 'collateral', 100 FROM pledge)
INSERT INTO market.postings (movement_id, account_id, currency, amount)
SELECT s.movement_id, a.id, 'TON', s.amount
  FROM side s JOIN market.accounts a ON a.user_id = s.user_id AND a.kind = s.kind AND a.currency = 'TON'"""
GIFT: Final = 10**12


async def fill(
    connection: Connection,
    *,
    auctions: int,
    bids_each: int = 5,
    people: int = 20_000,
    sealed: bool = False,
    presales: int = 0,
) -> None:
    """People with money, `auctions` that have ended with `bids_each` bids on each, overdue `presales`."""
    await connection.execute(PEOPLE, people, timeout=600)
    await connection.execute(GIFTS, GIFT, timeout=600)
    await connection.execute(AUCTIONS, auctions, people, sealed, timeout=600)
    for first in range(1, auctions + 1, 20_000):
        await connection.execute(BIDS, bids_each, people, first, first + 19_999, timeout=600)
    await connection.execute(PRESALES, presales, people, timeout=600)
    for table in ("users", "presales", "accounts", "movements", "postings", "auctions", "bids"):
        await connection.execute(f"VACUUM (ANALYZE) market.{table}", timeout=600)
