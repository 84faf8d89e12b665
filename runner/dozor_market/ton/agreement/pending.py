"""Money that is not booked on one provider's word: kept in market.ton_pending until that changes.

Not only deposits: our own transfers that came back and TON attached for the account `operating` as well.

unconfirmed  fewer than two providers returned it. The cursor stays before it, so a later round finds it again
             and credits it when a second provider has it; the row is for its age and for the alert.
over_limit   only one provider is configured and the transfer is above the limit. The cursor moves on, the row
             keeps all that is needed to credit it: by `dozor market approve`, or once two providers have it.
             Also what was unconfirmed when the account was deleted and created anew: it is behind the cursor
             and the new history says nothing about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import Backlog, read_cursor
from dozor_market.ledger import MAX_AMOUNT, LedgerError
from dozor_market.ton.agreement.comparison import Unconfirmed
from dozor_market.ton.crediting import credit, cursor_name, from_json
from dozor_market.ton.messages.amounts import TON_DECIMALS, in_whole
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.reader import START, Wallet

KEPT_UNCONFIRMED: Final = 200
"""Transfers recorded as unconfirmed in one round of one wallet. The others are found again later."""
RECHECKED: Final = 5
"""Transfers over the limit that one run asks the providers about, chosen at random."""

NOTE_SQL: Final = """
INSERT INTO market.ton_pending AS p
       (account, lt, hash, currency, amount, attached, sender, comment, plain, received_at, providers,
        others, omitted, state)
SELECT $1, t.lt, t.hash, t.currency, t.amount, t.attached, t.sender, t.comment, t.plain,
       to_timestamp(t.utime), string_to_array(t.providers, E'\\n'), $12, $13, $14
  FROM (SELECT u.lt, u.hash, u.currency, u.sender, u.comment, u.plain, u.utime, u.providers,
               CASE WHEN EXISTS (SELECT FROM market.deposits d
                                  WHERE d.account = $1 AND d.lt = u.lt AND d.hash = u.hash)
                    THEN 0 ELSE u.amount END AS amount,
               CASE WHEN EXISTS (SELECT FROM market.movements m
                                  WHERE m.reference = 'ton:' || $1 || ':' || u.lt || ':'
                                                      || encode(u.hash, 'hex') || ':attached')
                    THEN 0 ELSE u.attached END AS attached
          FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::numeric[], $6::text[], $7::text[],
                      $8::boolean[], $9::bigint[], $10::numeric[], $11::text[])
               AS u (lt, hash, currency, amount, sender, comment, plain, utime, attached, providers)) AS t
 WHERE t.amount + t.attached > 0
ON CONFLICT (account, lt, hash) DO UPDATE
   SET providers = EXCLUDED.providers, others = EXCLUDED.others, omitted = EXCLUDED.omitted,
       state = EXCLUDED.state, ended_at = NULL,
       alerted_at = CASE WHEN p.state = EXCLUDED.state THEN p.alerted_at END
 WHERE p.state IN ('unconfirmed', 'refuted')"""
CONFIRMED_SQL: Final = """
DELETE FROM market.ton_pending p USING unnest($2::bigint[], $3::bytea[]) AS t (lt, hash)
 WHERE p.account = $1 AND p.lt = t.lt AND p.hash = t.hash AND p.state IN ('unconfirmed', 'refuted')"""
CREDITED_SQL: Final = """
UPDATE market.ton_pending p SET state = 'credited', ended_at = now()
  FROM unnest($2::bigint[], $3::bytea[]) AS t (lt, hash)
 WHERE p.account = $1 AND p.lt = t.lt AND p.hash = t.hash AND p.state = 'over_limit'"""
OPEN_OR_REJECTED_SQL: Final = """
SELECT p.lt, p.hash FROM market.ton_pending p JOIN unnest($2::bigint[], $3::bytea[]) AS t (lt, hash)
    ON p.lt = t.lt AND p.hash = t.hash
 WHERE p.account = $1 AND p.state IN ('unconfirmed', 'over_limit', 'rejected')"""
REJECTED_SQL: Final = """
SELECT p.lt, p.hash FROM market.ton_pending p JOIN unnest($2::bigint[], $3::bytea[]) AS t (lt, hash)
    ON p.lt = t.lt AND p.hash = t.hash
 WHERE p.account = $1 AND p.state = 'rejected'"""
REFUTED_SQL: Final = """
UPDATE market.ton_pending SET state = 'refuted', ended_at = now(), alerted_at = NULL
 WHERE account = $1 AND state = 'unconfirmed' AND lt <= $2"""
BEFORE_CREATION_SQL: Final = """
UPDATE market.ton_pending SET state = 'over_limit', alerted_at = NULL
 WHERE account = $1 AND state = 'unconfirmed' AND lt < $2"""
WAITING_SQL: Final = """
SELECT count(*), min(seen_at), extract(epoch FROM now() - min(seen_at))::float8
  FROM market.ton_pending WHERE state = 'unconfirmed'"""
HELD_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash FROM market.ton_pending p
 WHERE p.state = 'over_limit'
   AND NOT EXISTS (SELECT FROM market.ton_contradictions c WHERE c.account = p.account AND c.ended_at IS NULL)
 ORDER BY random() LIMIT $1"""
LIST_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash, p.currency, p.amount, p.attached, p.sender, p.comment, p.received_at,
       p.providers, p.state, c.decimals
  FROM market.ton_pending p LEFT JOIN market.currencies c ON c.code = p.currency
 WHERE p.ended_at IS NULL ORDER BY p.id"""
FIND_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash, p.currency, p.amount, p.attached, p.sender, p.comment, p.plain,
       p.state, extract(epoch FROM p.received_at)::bigint AS utime, w.user_id, c.decimals
  FROM market.ton_pending p JOIN market.ton_wallets w ON w.address = p.account
  LEFT JOIN market.currencies c ON c.code = p.currency WHERE p.id = $1"""
LOCK_SQL: Final = "SELECT state FROM market.ton_pending WHERE id = $1 FOR UPDATE"
END_SQL: Final = "UPDATE market.ton_pending SET state = $2, ended_at = now() WHERE id = $1"


class PendingState(StrEnum):
    """Of a row of market.ton_pending."""

    UNCONFIRMED = "unconfirmed"
    OVER_LIMIT = "over_limit"
    CREDITED = "credited"
    REJECTED = "rejected"
    REFUTED = "refuted"


class PendingError(LedgerError):
    """The pending transfer stays as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """A transfer over the limit, to be asked two providers about."""

    id: int
    account: str
    at: Position


@dataclass(frozen=True, slots=True)
class Pending:
    """A row that waits. Amount in smallest units of `currency`, `attached` in nanotons.

    decimals: of `currency`; None: market.currencies does not have it.
    """

    id: int
    account: str
    lt: int
    hash: bytes
    currency: str
    amount: int
    attached: int
    sender: str
    comment: str | None
    received_at: datetime
    providers: tuple[str, ...]
    state: PendingState
    decimals: int | None


async def note(
    connection: Connection,
    account: str,
    items: Sequence[Unconfirmed],
    others: str,
    state: PendingState,
    *,
    omitted: bool,
) -> None:
    """Record money as pending, unless it is booked already or was decided. Ignores items without money.

    others: what the other providers answered; omitted: one of them answered without these transactions.
    """
    transfers = [item for item in items if _has_money(item)]
    if not transfers:
        return
    receipts = [item.receipt for item in transfers]
    await connection.execute(
        NOTE_SQL,
        account,
        *_positions(receipts),
        [receipt.currency for receipt in receipts],
        [receipt.amount for receipt in receipts],
        [receipt.sender for receipt in receipts],
        [receipt.comment for receipt in receipts],
        [receipt.plain for receipt in receipts],
        [receipt.utime for receipt in receipts],
        [receipt.attached for receipt in receipts],
        ["\n".join(item.providers) for item in transfers],
        others,
        omitted,
        state.value,
    )


async def note_unconfirmed(
    connection: Connection, account: str, items: Sequence[Unconfirmed], others: str, *, omitted: bool
) -> None:
    """Record the oldest KEPT_UNCONFIRMED transactions with money as unconfirmed."""
    transfers = [item for item in items if _has_money(item)][:KEPT_UNCONFIRMED]
    await note(connection, account, transfers, others, PendingState.UNCONFIRMED, omitted=omitted)


async def note_held(connection: Connection, account: str, receipts: Sequence[Receipt], provider: str) -> None:
    """Record what is above the limit of the single provider that returned it."""
    items = [Unconfirmed(receipt, (provider,)) for receipt in receipts]
    await note(connection, account, items, "", PendingState.OVER_LIMIT, omitted=False)


def _has_money(item: Unconfirmed) -> bool:
    return bool(item.receipt.amount or item.receipt.attached)


async def without_rejected(connection: Connection, account: str, block: Sequence[Receipt]) -> list[Receipt]:
    """The block without the transfers that a person has rejected."""
    return _without(block, await connection.fetch(REJECTED_SQL, account, *_positions(block)))


async def without_open_or_rejected(
    connection: Connection, account: str, block: Sequence[Receipt]
) -> list[Receipt]:
    """The block without what waits here for a second provider or for a person, or was rejected."""
    return _without(block, await connection.fetch(OPEN_OR_REJECTED_SQL, account, *_positions(block)))


def _without(block: Sequence[Receipt], rows: Sequence[Any]) -> list[Receipt]:
    left_out = {Position(row["lt"], row["hash"]) for row in rows}
    return [receipt for receipt in block if receipt.at not in left_out]


async def end_credited(connection: Connection, account: str, receipts: Sequence[Receipt]) -> None:
    """End the rows of transfers that are credited now, in the caller's transaction."""
    await connection.execute(CONFIRMED_SQL, account, *_positions(receipts))
    await connection.execute(CREDITED_SQL, account, *_positions(receipts))


async def end_refuted(connection: Connection, account: str, cursor: Position) -> None:
    """End the rows that the confirmed history up to the cursor does not contain: they were invented."""
    await connection.execute(REFUTED_SQL, account, cursor.lt)


async def keep_before_creation(connection: Connection, account: str, created: Position) -> None:
    """Leave to a person what was unconfirmed when the account was deleted, before it was `created` anew.

    The new history does not refute it. Two providers that still return it confirm it (rounds.confirm_held).
    """
    await connection.execute(BEFORE_CREATION_SQL, account, created.lt)


async def waiting(connection: Connection) -> Backlog:
    """The transfers that wait for a second provider, since when the first one returned them."""
    return Backlog(*await connection.fetchrow(WAITING_SQL))


async def read_held(connection: Connection) -> list[Held]:
    """Some transfers over the limit, none of a wallet with an open contradiction."""
    rows = await connection.fetch(HELD_SQL, RECHECKED)
    return [Held(row["id"], row["account"], Position(row["lt"], row["hash"])) for row in rows]


async def read_pending(connection: Connection) -> list[Pending]:
    """Everything that waits, oldest first."""
    return [
        Pending(
            **{
                **row,
                "amount": int(row["amount"]),
                "attached": int(row["attached"]),
                "providers": tuple(row["providers"]),
                "state": PendingState(row["state"]),
            }
        )
        for row in await connection.fetch(LIST_SQL)
    ]


async def approve(connection: Connection, pending_id: int) -> str:
    """Credit a transfer over the limit as if it were confirmed. Returns the result in words.

    Raises PendingError.
    """
    async with connection.transaction(isolation="read_committed"):
        row = await connection.fetchrow(FIND_SQL, pending_id)
        if row is None:
            raise PendingError(msg("error-no-pending", id=str(pending_id)))
        # The cursor is locked first, as in a run of the checker, so that the two cannot deadlock.
        position = await read_cursor(connection, cursor_name(row["account"]))
        await _require(connection, pending_id, PendingState.OVER_LIMIT)
        if position is None:
            raise PendingError(msg("error-pending-no-cursor", account=row["account"]))
        largest = max(row["amount"], row["attached"])
        if largest > MAX_AMOUNT:
            raise PendingError(msg("error-pending-too-large", amount=str(largest)))
        cursor, receipt = from_json(position), _receipt(row)
        money = money_in_words(receipt.amount, receipt.currency, row["decimals"], receipt.attached)
        wallet = Wallet(row["account"], row["user_id"], 0, {})
        stays = replace(receipt, at=cursor)
        counts = await credit(connection, wallet, cursor, [receipt], {}, move_to=stays)
        if counts is None or counts["set aside"]:
            raise PendingError(msg("error-pending-refused", money=money))
        await connection.execute(END_SQL, pending_id, PendingState.CREDITED.value)
    return msg(_result(counts), id=str(pending_id), money=money)


def _result(counts: Counter[str]) -> str:
    """The key of the text."""
    if counts["credited"]:
        return "cli-pending-credited"
    if counts["unmatched"]:
        return "cli-pending-recorded"
    return "cli-pending-operating" if counts["operating"] else "cli-pending-known"


def money_in_words(amount: int, currency: str, decimals: int | None, attached: int) -> str:
    """The money of one transfer as decimal amounts.

    amount: smallest units of `currency`, which has `decimals` (None: unknown, shown as it is); attached:
    nanotons.
    """
    whole = in_whole(amount, decimals or 0)
    parts = [msg("cli-pending-money", amount=whole, currency=currency)] if amount else []
    if attached:
        parts.append(msg("cli-pending-attached", amount=in_whole(attached, TON_DECIMALS)))
    return ", ".join(parts)


async def reject(connection: Connection, pending_id: int) -> str:
    """Never credit this transfer, whatever providers say later. Raises PendingError."""
    async with connection.transaction(isolation="read_committed"):
        await _require(connection, pending_id, PendingState.OVER_LIMIT, PendingState.UNCONFIRMED)
        await connection.execute(END_SQL, pending_id, PendingState.REJECTED.value)
    return msg("cli-pending-rejected", id=str(pending_id))


async def _require(connection: Connection, pending_id: int, *allowed: PendingState) -> None:
    """Lock the row. Raises PendingError unless it is in one of the states."""
    state = await connection.fetchval(LOCK_SQL, pending_id)
    if state is None:
        raise PendingError(msg("error-no-pending", id=str(pending_id)))
    if state not in allowed:
        key = "error-pending-waits" if state == PendingState.UNCONFIRMED else "error-pending-state"
        raise PendingError(msg(key, id=str(pending_id), state=state))


def _receipt(row: Any) -> Receipt:
    return Receipt(
        at=Position(row["lt"], row["hash"]),
        before=START,
        utime=row["utime"],
        kind=Kind.TRANSFER,
        currency=row["currency"],
        amount=int(row["amount"]),
        sender=row["sender"],
        comment=row["comment"],
        plain=row["plain"],
        attached=int(row["attached"]),
    )


def _positions(receipts: Sequence[Receipt]) -> tuple[list[int], list[bytes]]:
    return [receipt.at.lt for receipt in receipts], [receipt.at.hash for receipt in receipts]
