"""Presales for buyers and sellers: pay, deliver, pledge collateral.

Whether a delivery is late is decided by the database's clock, read after the presale's row is locked: a
delivery and the refund of its presale never run side by side.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.calls import once
from dozor_market.deadlines import CLOCK_SQL, check_future, check_zone
from dozor_market.ledger import AccountKind, LedgerError, check_amount, transfer, worded


class DeliveryRefusal(StrEnum):
    """Why a delivery does not count."""

    UNKNOWN = "no such presale"
    CLOSED = "the presale is closed"
    LATE = "the deadline has passed"


class DeliveryRefusedError(LedgerError):
    """Nothing was moved; `refusal` says why."""

    def __init__(self, presale_id: int, refusal: DeliveryRefusal) -> None:
        super().__init__(
            msg("error-market-delivery-refused", presale=str(presale_id), reason=in_words(refusal))
        )
        self.refusal = refusal


def in_words(refusal: DeliveryRefusal) -> str:
    """The reason in the language of the process."""
    match refusal:
        case DeliveryRefusal.UNKNOWN:
            return msg("error-market-no-presale")
        case DeliveryRefusal.CLOSED:
            return msg("error-market-presale-closed")
        case DeliveryRefusal.LATE:
            return msg("error-market-deadline-passed")
        case _:
            assert_never(refusal)


PAY: Final = """
WITH presale AS MATERIALIZED (
        SELECT nextval('market.presales_id_seq') AS id, nextval('market.movements_id_seq') AS movement_id),
     movement AS (
        INSERT INTO market.movements (id, reference) SELECT movement_id, 'presale:' || id || ':paid'
          FROM presale),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT presale.movement_id, a.id, $3, side.sign * $4::bigint
          FROM presale CROSS JOIN (VALUES ('available', -1), ('held', 1)) AS side (kind, sign)
          LEFT JOIN market.accounts a ON a.user_id = $2 AND a.kind = side.kind AND a.currency = $3)
INSERT INTO market.presales
       (id, seller_id, buyer_id, currency, price, penalty, fee_bps, deliver_by, remind_at, title, paid_at,
        payment_movement_id)
SELECT id, $1, $2, $3, $4, $5, $6, $7, $7::timestamptz - $8::interval, $9, $10, movement_id FROM presale
RETURNING id"""
LOCK: Final = "SELECT state, deliver_by FROM market.presales WHERE id = $1 FOR UPDATE"
DELIVER: Final = """
WITH presale AS MATERIALIZED (
        SELECT p.id, p.buyer_id, p.seller_id, p.currency, p.payment_movement_id, hold.amount,
               hold.account_id AS held_account, market.fee(p.price, p.fee_bps) AS fee,
               nextval('market.movements_id_seq') AS movement_id
          FROM market.presales p
          JOIN market.accounts held
            ON held.user_id = p.buyer_id AND held.kind = 'held' AND held.currency = p.currency
          JOIN market.postings hold
            ON hold.movement_id = p.payment_movement_id AND hold.account_id = held.id
               AND hold.amount = p.price
         WHERE p.id = $1),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT movement_id, 'presale:' || id || ':delivered', payment_movement_id FROM presale),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT movement_id, held_account, currency, -amount FROM presale
        UNION ALL
        SELECT movement_id, a.id, p.currency, p.amount - p.fee
          FROM presale p
          JOIN market.accounts a
            ON a.user_id = p.seller_id AND a.kind = 'available' AND a.currency = p.currency
         WHERE p.amount > p.fee
        UNION ALL
        SELECT movement_id, a.id, p.currency, p.fee
          FROM presale p JOIN market.accounts a
            ON a.user_id IS NULL AND a.kind = 'house' AND a.currency = p.currency
         WHERE p.fee > 0)
UPDATE market.presales p SET state = 'delivered', closed_at = $2
  FROM presale WHERE p.id = presale.id RETURNING p.id"""


async def pay_presale(
    connection: Connection,
    seller_id: int,
    buyer_id: int,
    currency: str,
    price: int,
    deliver_by: datetime,
    *,
    penalty: int = 0,
    fee_bps: int = 0,
    remind_before: timedelta | None = None,
    title: str = "",
    key: str | None = None,
) -> int:
    """Set the price aside until delivery. Amounts in smallest units. Returns the presale's id.

    `deliver_by` has a zone and is in the future by the database's clock. `key`: idempotency key (calls.py).
    Raises InsufficientFundsError, AmountError, DeadlineError, KeyReusedError, and LedgerError for terms that
    the database refuses.
    """
    check_amount(price)
    if type(penalty) is not int or penalty != 0:
        check_amount(penalty)
    check_zone("deliver_by", deliver_by)
    terms = {
        "seller_id": seller_id,
        "buyer_id": buyer_id,
        "currency": currency,
        "price": price,
        "penalty": penalty,
        "fee_bps": fee_bps,
        "deliver_by": deliver_by,
        "remind_before": remind_before,
        "title": title,
    }
    what = msg("error-market-presale", amount=str(price), user=str(buyer_id))
    async with worded(what), once(connection, key, "presale", **terms) as call:
        if not call.repeated:
            now: datetime = await connection.fetchval(CLOCK_SQL)
            check_future("deliver_by", deliver_by, now)
            call.result = await connection.fetchval(PAY, *terms.values(), now)
    assert call.result is not None
    return call.result


async def deliver(connection: Connection, presale_id: int, *, key: str | None = None) -> None:
    """The thing has come: pay the seller less the fee. `key`: idempotency key (calls.py).

    Raises DeliveryRefusedError, KeyReusedError, and LedgerError when the row does not agree with what was
    set aside.
    """
    what = msg("error-market-delivery", presale=str(presale_id))
    async with worded(what), once(connection, key, "delivery", presale_id=presale_id) as call:
        if call.repeated:
            return
        row = await connection.fetchrow(LOCK, presale_id)
        now: datetime = await connection.fetchval(CLOCK_SQL)
        refusal = judge_delivery(row and row["state"], row and row["deliver_by"], now)
        if refusal is not None:
            raise DeliveryRefusedError(presale_id, refusal)
        call.result = await connection.fetchval(DELIVER, presale_id, now)
        if call.result is None:
            raise LedgerError(msg("error-market-presale-disagrees", presale=str(presale_id)))


def judge_delivery(state: str | None, deliver_by: datetime | None, now: datetime) -> DeliveryRefusal | None:
    """None when the delivery counts. `state` is None when there is no such presale."""
    if state is None or deliver_by is None:
        return DeliveryRefusal.UNKNOWN
    if state != "paid":
        return DeliveryRefusal.CLOSED
    return DeliveryRefusal.LATE if now >= deliver_by else None


async def pledge(connection: Connection, reference: str, seller_id: int, currency: str, amount: int) -> int:
    """Move `amount` of a seller's free money to their collateral, once a `reference`."""
    return await transfer(
        connection,
        reference,
        currency,
        amount,
        source=(seller_id, AccountKind.AVAILABLE),
        target=(seller_id, AccountKind.COLLATERAL),
    )
