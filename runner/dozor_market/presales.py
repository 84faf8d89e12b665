"""The presales' checker: what was not delivered in time is refunded, and its seller penalised, once.

The refund ("presale:9:refunded") ends the hold of the payment. The penalty ("presale:9:penalised") takes
from the seller's collateral as far as it goes, the presales that were due first having the first claim.
Before the deadline the seller is reminded, once ("presale:9:reminder" in market.events).
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
from dozor_market.auctions import BY_INDEX

CLAIM: Final = """
SELECT id FROM market.presales WHERE state = 'paid' AND deliver_by <= now()
 ORDER BY deliver_by, id LIMIT $1 FOR UPDATE SKIP LOCKED"""
BACKLOG: Final = (
    "SELECT count(*), min(deliver_by) FROM market.presales WHERE state = 'paid' AND deliver_by <= now()"
)
SET_ASIDE: Final = "UPDATE market.presales SET state = 'quarantined' WHERE id = $1"

CLAIM_REMINDERS: Final = """
SELECT id FROM market.presales
 WHERE state = 'paid' AND reminded_at IS NULL AND remind_at <= now() AND deliver_by > now()
 ORDER BY remind_at, id LIMIT $1 FOR UPDATE SKIP LOCKED"""
REMINDERS_BACKLOG: Final = """
SELECT count(*), min(remind_at) FROM market.presales
 WHERE state = 'paid' AND reminded_at IS NULL AND remind_at <= now() AND deliver_by > now()"""
REMIND: Final = """
WITH reminded AS (
        UPDATE market.presales SET reminded_at = now() WHERE id = ANY($1) RETURNING id, seller_id)
INSERT INTO market.events (reference, user_id)
SELECT 'presale:' || id || ':reminder', seller_id FROM reminded"""

# The collaterals must not change between reading and taking, and all locks are taken in one order. Two
# statements: a row that was waited for makes PostgreSQL evaluate the locking one anew, with its subqueries.
ACCOUNTS: Final = """
SELECT a.id FROM market.presales p
  JOIN market.accounts a ON a.user_id = p.seller_id AND a.kind = 'collateral' AND a.currency = p.currency
 WHERE p.id = ANY($1)
UNION
SELECT a.id FROM market.presales p
  JOIN market.accounts a
    ON a.user_id = p.buyer_id AND a.kind IN ('held', 'available') AND a.currency = p.currency
 WHERE p.id = ANY($1)
UNION
SELECT id FROM market.accounts WHERE user_id IS NULL AND kind = 'house'"""
LOCK: Final = "SELECT FROM market.accounts WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"

AGREES: Final = """
SELECT p.id, p.currency, p.price, p.penalty, p.deliver_by, p.payment_movement_id,
       held.id AS held_account, free.id AS free_account,
       collateral.id AS collateral_account, collateral.balance AS collateral,
       nextval('market.movements_id_seq') AS refund_id, nextval('market.movements_id_seq') AS penalty_id
  FROM market.presales p
  JOIN market.accounts held ON held.user_id = p.buyer_id AND held.kind = 'held' AND held.currency = p.currency
  JOIN market.accounts free
    ON free.user_id = p.buyer_id AND free.kind = 'available' AND free.currency = p.currency
  JOIN market.accounts collateral
    ON collateral.user_id = p.seller_id AND collateral.kind = 'collateral'
       AND collateral.currency = p.currency
  JOIN market.postings hold  -- + 0: by the movement, never by an account with a million postings
    ON hold.movement_id = p.payment_movement_id AND hold.account_id + 0 = held.id AND hold.amount = p.price
 WHERE p.id = ANY($1)"""
REFUND: Final = f"""
WITH agrees AS MATERIALIZED ({AGREES}),
     late AS MATERIALIZED (
        SELECT agrees.*, house.id AS house_account,
               least(penalty, greatest(0, collateral - coalesce(sum(penalty) OVER earlier, 0)))::bigint
                 AS taken
          FROM agrees
          JOIN market.accounts house
            ON house.user_id IS NULL AND house.kind = 'house' AND house.currency = agrees.currency
        WINDOW earlier AS (PARTITION BY collateral_account ORDER BY deliver_by, agrees.id
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT refund_id, 'presale:' || id || ':refunded', payment_movement_id FROM late
        UNION ALL SELECT penalty_id, 'presale:' || id || ':penalised', NULL FROM late WHERE taken > 0),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT side.movement_id, side.account_id, late.currency, side.amount
          FROM late CROSS JOIN LATERAL (VALUES
               (refund_id, held_account, -price), (refund_id, free_account, price),
               (penalty_id, collateral_account, -taken), (penalty_id, house_account, taken)
             ) AS side (movement_id, account_id, amount)
         WHERE side.amount <> 0 ORDER BY side.account_id)
UPDATE market.presales p SET state = 'overdue', closed_at = now(), penalty_taken = late.taken
  FROM late WHERE p.id = late.id RETURNING p.id"""  # noqa: S608 -- put together from the constant above

DIAGNOSE: Final = """
SELECT p.id, p.buyer_id, p.currency, p.price, hold.amount AS held
  FROM market.presales p
  LEFT JOIN market.accounts held
    ON held.user_id = p.buyer_id AND held.kind = 'held' AND held.currency = p.currency
  LEFT JOIN market.postings hold ON hold.movement_id = p.payment_movement_id AND hold.account_id = held.id
 WHERE p.id = ANY($1)"""


async def refund(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Refund these presales, locked by the caller. Returns the impossible ones, untouched, with reasons."""
    await connection.execute(BY_INDEX)
    await connection.execute(LOCK, [row["id"] for row in await connection.fetch(ACCOUNTS, ids)])
    refunded = {row["id"] for row in await connection.fetch(REFUND, ids)}
    impossible = [presale for presale in ids if presale not in refunded]
    if not impossible:
        return {}
    return {row["id"]: _fault(row) for row in await connection.fetch(DIAGNOSE, impossible)}


def _fault(row: Row) -> str:
    """Why a presale's row does not agree with the ledger, in words."""
    if row["held"] is None:
        return msg("error-market-presale-no-hold", user=str(row["buyer_id"]), currency=row["currency"])
    if row["held"] != row["price"]:
        return msg("error-market-presale-hold", amount=str(row["price"]), held=str(row["held"]))
    return msg("error-market-presale-account", currency=row["currency"])


async def remind(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Write the reminders of these presales."""
    await connection.execute(REMIND, ids)
    return {}


PRESALES: Final = Queue(
    name="presales", item="presale", claim=CLAIM, backlog=BACKLOG, set_aside=SET_ASIDE, process=refund
)
REMINDERS: Final = Queue(
    name="presale reminders",
    item="presale",
    claim=CLAIM_REMINDERS,
    backlog=REMINDERS_BACKLOG,
    set_aside=SET_ASIDE,
    process=remind,
)


@checks_args(check_queue_args)
async def check_presales(
    ctx: CheckerContext, *, batch: int = 5000, workers: int = 2, behind_after: float | None = 900.0
) -> None:
    """Remind sellers, then refund what is overdue. `behind_after`: seconds one may wait before an alert."""
    reminded = await drain(ctx, REMINDERS, batch=batch, report=False)
    refunded = await drain(ctx, PRESALES, batch=batch, workers=workers, behind_after=behind_after)
    if reminded or refunded:
        ctx.log.info(msg("log-presales", reminded=reminded, overdue=refunded))
