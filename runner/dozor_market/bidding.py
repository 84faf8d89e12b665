"""Creates auctions and places bids.

A bid sets its money aside and, in an open auction, releases the one it beats, all in one statement. Whether
it is late is decided by the database's clock, read after the auction's row is locked: a bid and the
settlement of its auction never run side by side. `placed_at` of the bid is that same clock value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.calls import once
from dozor_market.deadlines import CLOCK_SQL, check_future, check_zone
from dozor_market.ledger import LedgerError, check_amount, worded


class BidRefusal(StrEnum):
    """Why a bid is not taken."""

    UNKNOWN = "no such auction"
    LATE = "the auction has ended"
    CLOSED = "the auction is closed"
    OWN = "the seller does not bid"
    LOW = "too low"


class BidRefusedError(LedgerError):
    """The bid was not taken and nothing was moved; `refusal` says why."""

    def __init__(self, auction_id: int, refusal: BidRefusal) -> None:
        super().__init__(msg("error-market-bid-refused", auction=str(auction_id), reason=in_words(refusal)))
        self.refusal = refusal


def in_words(refusal: BidRefusal) -> str:
    """The reason in the language of the process."""
    match refusal:
        case BidRefusal.UNKNOWN:
            return msg("error-market-no-auction")
        case BidRefusal.LATE:
            return msg("error-market-auction-ended")
        case BidRefusal.CLOSED:
            return msg("error-market-auction-closed")
        case BidRefusal.OWN:
            return msg("error-market-own-auction")
        case BidRefusal.LOW:
            return msg("error-market-bid-low")
        case _:
            assert_never(refusal)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bid is judged by. Prices in smallest units."""

    seller_id: int
    state: str
    sealed: bool
    start_price: int
    min_increment: int
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A bid whose money is set aside now."""

    id: int
    bidder_id: int
    amount: int


CREATE_AUCTION: Final = """
INSERT INTO market.auctions
       (seller_id, currency, title, sealed, start_price, min_increment, reserve_price, fee_bps, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"""
LOCK_AUCTION: Final = """
SELECT seller_id, state, sealed, start_price, min_increment, ends_at
  FROM market.auctions WHERE id = $1 FOR UPDATE"""
STANDING: Final = """
SELECT id, bidder_id, amount FROM market.bids WHERE auction_id = $1 AND state = 'held'
 ORDER BY amount DESC, placed_at, id"""
# The released amount is what the ledger holds, not what the row says: a row edited by hand moves no money.
PLACE: Final = """
WITH auction AS (SELECT id, currency FROM market.auctions WHERE id = $1),
     bid AS MATERIALIZED (
        SELECT nextval('market.bids_id_seq') AS id, nextval('market.movements_id_seq') AS movement_id),
     beaten AS MATERIALIZED (
        SELECT b.id, b.bidder_id, b.hold_movement_id, nextval('market.movements_id_seq') AS movement_id
          FROM market.bids b WHERE b.id = ANY($4)),
     movement AS (
        INSERT INTO market.movements (id, reference, ends_hold)
        SELECT movement_id, 'bid:' || id || ':held', NULL FROM bid
        UNION ALL SELECT movement_id, 'bid:' || id || ':outbid', hold_movement_id FROM beaten),
     placed AS (
        INSERT INTO market.bids (id, auction_id, bidder_id, amount, placed_at, hold_movement_id)
        SELECT bid.id, $1, $2, $3, $5, bid.movement_id FROM bid RETURNING id),
     released AS (UPDATE market.bids b SET state = 'outbid' FROM beaten WHERE b.id = beaten.id),
     change AS (
        SELECT movement_id, $2::bigint AS user_id, 'available' AS kind, -$3::bigint AS amount FROM bid
        UNION ALL SELECT movement_id, $2, 'held', $3 FROM bid
        UNION ALL
        SELECT beaten.movement_id, beaten.bidder_id, side.kind, side.sign * hold.amount
          FROM beaten CROSS JOIN auction
          CROSS JOIN (VALUES ('held', -1), ('available', 1)) AS side (kind, sign)
          LEFT JOIN market.accounts held
            ON held.user_id = beaten.bidder_id AND held.kind = 'held' AND held.currency = auction.currency
          LEFT JOIN market.postings hold
            ON hold.movement_id = beaten.hold_movement_id AND hold.account_id = held.id),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT change.movement_id, account.id, auction.currency, change.amount
          FROM change CROSS JOIN auction
          LEFT JOIN market.accounts account
            ON account.user_id = change.user_id AND account.kind = change.kind
               AND account.currency = auction.currency)
SELECT id FROM placed"""


def judge(
    terms: Terms, standing: Sequence[Standing], bidder_id: int, amount: int, now: datetime
) -> BidRefusal | None:
    """None when the bid is good. `standing` are the bids with money set aside, the best first."""
    if terms.state != "open":
        return BidRefusal.CLOSED
    if now >= terms.ends_at:
        return BidRefusal.LATE
    if bidder_id == terms.seller_id:
        return BidRefusal.OWN
    if amount < terms.start_price:
        return BidRefusal.LOW
    rivals = beaten_by(terms, standing, bidder_id)
    step = 1 if terms.sealed else terms.min_increment
    if rivals and amount < rivals[0].amount + step:
        return BidRefusal.LOW
    return None


def beaten_by(terms: Terms, standing: Sequence[Standing], bidder_id: int) -> list[Standing]:
    """The bids that a good bid of this bidder releases: in a sealed auction only their own earlier one."""
    return [bid for bid in standing if not terms.sealed or bid.bidder_id == bidder_id]


async def create_auction(
    connection: Connection,
    seller_id: int,
    currency: str,
    ends_at: datetime,
    *,
    title: str = "",
    sealed: bool = False,
    start_price: int = 1,
    min_increment: int = 1,
    reserve_price: int | None = None,
    fee_bps: int = 0,
    key: str | None = None,
) -> int:
    """Put something up for auction. Prices in smallest units, the fee in hundredths of a percent.

    `ends_at` has a zone and is in the future by the database's clock. `key`: idempotency key (calls.py).
    Raises AmountError, DeadlineError, KeyReusedError, and LedgerError for terms that the database refuses.
    """
    for price in (start_price, min_increment, reserve_price):
        if price is not None:
            check_amount(price)
    check_zone("ends_at", ends_at)
    terms = {
        "seller_id": seller_id,
        "currency": currency,
        "title": title,
        "sealed": sealed,
        "start_price": start_price,
        "min_increment": min_increment,
        "reserve_price": reserve_price,
        "fee_bps": fee_bps,
        "ends_at": ends_at,
    }
    what = msg("error-market-auction", user=str(seller_id), currency=currency)
    async with worded(what), once(connection, key, "auction", **terms) as call:
        if not call.repeated:
            check_future("ends_at", ends_at, await connection.fetchval(CLOCK_SQL))
            call.result = await connection.fetchval(CREATE_AUCTION, *terms.values())
    assert call.result is not None
    return call.result


async def place_bid(
    connection: Connection, auction_id: int, bidder_id: int, amount: int, *, key: str | None = None
) -> int:
    """Bid `amount` smallest units. Returns the bid's id.

    `key`: idempotency key (calls.py); a retry with it after a lost answer returns the bid that stands, also
    when it was outbid or the auction has ended since. Raises BidRefusedError, InsufficientFundsError,
    AmountError, KeyReusedError.
    """
    check_amount(amount)
    what = msg("error-market-bid", amount=str(amount), auction=str(auction_id))
    arguments = {"auction_id": auction_id, "bidder_id": bidder_id, "amount": amount}
    async with worded(what), once(connection, key, "bid", **arguments) as call:
        if not call.repeated:
            call.result = await _place(connection, auction_id, bidder_id, amount)
    assert call.result is not None
    return call.result


async def _place(connection: Connection, auction_id: int, bidder_id: int, amount: int) -> int:
    row = await connection.fetchrow(LOCK_AUCTION, auction_id)
    if row is None:
        raise BidRefusedError(auction_id, BidRefusal.UNKNOWN)
    terms = Terms(**row)
    now: datetime = await connection.fetchval(CLOCK_SQL)
    standing = [Standing(**bid) for bid in await connection.fetch(STANDING, auction_id)]
    refusal = judge(terms, standing, bidder_id, amount, now)
    if refusal is not None:
        raise BidRefusedError(auction_id, refusal)
    beaten = [bid.id for bid in beaten_by(terms, standing, bidder_id)]
    bid: int = await connection.fetchval(PLACE, auction_id, bidder_id, amount, beaten, now)
    return bid
