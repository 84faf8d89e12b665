"""Receipts become deposits: recorded, posted and the cursor moved in one transaction."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dozor.storage.postgres.pool import Connection
from dozor.toolkit import move_cursor, process_or_split, read_cursor, set_aside
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.messages.comments import comment_key
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.providers.history import MAX_LT
from dozor_market.ton.reader import Wallet

QUARANTINE: Final = "ton deposits"
INTERNAL: Final = "internal"
"""State of a deposit that a wallet of ours sent."""
HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
KEYS_AT_ONCE: Final = 5000
"""Codes of invoices whose keys are written at once."""

RECORD: Final = """
WITH given AS MATERIALIZED (
        SELECT t.*, 'ton:' || t.account || ':' || t.lt || ':' || encode(t.hash, 'hex') AS reference
          FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[],
                      $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::boolean[], $12::bigint[],
                      $13::text[])
               AS t (account, owner, lt, hash, currency, amount, dust, sender, comment, utime, plain,
                     attached, comment_key)
         WHERE NOT EXISTS (SELECT FROM market.ton_exclusions e
                            WHERE e.account = t.account AND e.hash = t.hash)),
     incoming AS MATERIALIZED (
        SELECT t.*, nextval('market.deposits_id_seq') AS id,
               nextval('market.movements_id_seq') AS movement_id,
               t.amount >= t.dust AND ours.address IS NULL AS posted,
               CASE WHEN ours.address IS NOT NULL THEN 'internal'
                    WHEN t.amount < t.dust THEN 'dust' END AS kept,
               CASE WHEN t.amount >= t.dust AND t.plain AND ours.address IS NULL
                    THEN coalesce(t.owner, exact.user_id, alike.user_id) END AS user_id
          FROM given t
          LEFT JOIN market.ton_wallets ours ON ours.address = t.sender
          LEFT JOIN market.invoices exact ON exact.code = t.comment
          LEFT JOIN LATERAL (SELECT min(i.user_id) AS user_id FROM market.invoices i
                              WHERE t.owner IS NULL AND exact.user_id IS NULL AND t.comment_key <> ''
                                AND i.code_key = t.comment_key
                             HAVING count(DISTINCT i.user_id) = 1) alike ON true
         WHERE t.amount > 0
           AND NOT EXISTS (SELECT FROM market.deposits d
                            WHERE d.account = t.account AND d.lt = t.lt AND d.hash = t.hash)),
     attached AS MATERIALIZED (
        SELECT t.account, t.lt, t.hash, t.attached AS amount, t.reference || ':attached' AS reference,
               nextval('market.movements_id_seq') AS movement_id
          FROM given t
         WHERE t.attached > 0
           AND NOT EXISTS (SELECT FROM market.movements m WHERE m.reference = t.reference || ':attached')),
     movement AS (
        INSERT INTO market.movements (id, reference)
        SELECT movement_id, reference FROM incoming WHERE posted
        UNION ALL
        SELECT movement_id, reference FROM attached),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT incoming.movement_id, a.id, incoming.currency, -incoming.amount
          FROM incoming
          LEFT JOIN market.accounts a
            ON a.user_id IS NULL AND a.kind = 'external' AND a.currency = incoming.currency
         WHERE incoming.posted
        UNION ALL
        SELECT incoming.movement_id, a.id, incoming.currency, incoming.amount
          FROM incoming
          LEFT JOIN market.accounts a
            ON a.user_id = incoming.user_id AND a.kind = 'available' AND a.currency = incoming.currency
         WHERE incoming.user_id IS NOT NULL
        UNION ALL
        SELECT incoming.movement_id, a.id, incoming.currency, incoming.amount
          FROM incoming
          LEFT JOIN market.accounts a
            ON a.user_id IS NULL AND a.kind = 'unattributed' AND a.currency = incoming.currency
         WHERE incoming.user_id IS NULL AND incoming.posted
        UNION ALL
        SELECT attached.movement_id, a.id, 'TON', -attached.amount
          FROM attached
          LEFT JOIN market.accounts a ON a.user_id IS NULL AND a.kind = 'external' AND a.currency = 'TON'
        UNION ALL
        SELECT attached.movement_id, a.id, 'TON', attached.amount
          FROM attached
          LEFT JOIN market.accounts a ON a.user_id IS NULL AND a.kind = 'operating' AND a.currency = 'TON'),
     recorded AS (
        INSERT INTO market.deposits
               (id, account, lt, hash, currency, amount, sender, comment, user_id, received_at, state)
        SELECT id, account, lt, hash, currency, amount, sender, comment, user_id, to_timestamp(utime),
               coalesce(kept, CASE WHEN user_id IS NULL THEN 'unmatched' ELSE 'credited' END)
          FROM incoming RETURNING account, lt, hash, state, currency, amount, user_id)
SELECT account, lt, hash, state, currency, amount, user_id FROM recorded
UNION ALL
SELECT account, lt, hash, 'operating', 'TON', amount, NULL FROM attached"""
"""Where two users were given codes with one key, only the exact code names one of them. What a wallet of ours
sent is in the books already: it is recorded and not posted, whatever the comment and the address say."""
CODES_WITHOUT_KEY: Final = """
SELECT id, code FROM market.invoices WHERE code_key IS NULL ORDER BY id LIMIT $1 FOR UPDATE"""
WRITE_KEYS: Final = """
UPDATE market.invoices i SET code_key = t.code_key
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS t (id, code, code_key)
 WHERE i.id = t.id AND i.code = t.code"""


def cursor_name(address: str) -> str:
    """Name of a wallet's cursor in dozor.cursors."""
    return f"ton:{address}"


def to_json(position: Position, utime: int | None = None) -> dict[str, object]:
    """A position as the cursor keeps it. `utime`: the transaction's time; the age of the cursor needs it."""
    kept: dict[str, object] = {"lt": position.lt, "hash": position.hash.hex()}
    return kept if utime is None else {**kept, "utime": utime}


def from_json(position: object) -> Position:
    """A kept position. Raises ValueError when it was edited into an invalid value."""
    fields = position if isinstance(position, Mapping) else {}
    lt, hash_hex = fields.get("lt"), fields.get("hash")
    if type(lt) is int and 0 <= lt <= MAX_LT and isinstance(hash_hex, str):
        hash_ = bytes.fromhex(hash_hex) if HASH.fullmatch(hash_hex) else b""
        if len(hash_) == (32 if lt else 0) and (lt or not hash_hex):
            return Position(lt, hash_)
    raise ValueError(f"the cursor {position!r} is not a transaction: mend it in dozor.cursors")


def from_json_or_none(position: object) -> Position | None:
    """As from_json; None: it was edited into an invalid value, which is the trouble of that wallet alone."""
    try:
        return from_json(position)
    except ValueError:
        return None


async def credit(
    connection: Connection,
    wallet: Wallet,
    expected: Position,
    receipts: Sequence[Receipt],
    dust: Mapping[str, int],
    *,
    move_to: Receipt | None = None,
) -> Counter[str] | None:
    """Record the receipts, oldest first, and move the cursor to the last, in one transaction.

    `move_to`: where the cursor moves instead, or the transaction that it is at, so that it stays; then
    `receipts` may leave out some, or be empty.
    None, and nothing done, when the cursor is not at `expected` any more: another runner was quicker.
    Otherwise how many of each kind there were. A receipt that the ledger refuses, or that cannot be read, is
    set aside.
    """
    name = cursor_name(wallet.address)
    async with connection.transaction():
        position = await read_cursor(connection, name)
        if position is None or from_json(position) != expected:
            return None
        counts = Counter(receipt.kind.value for receipt in receipts if receipt.kind is not Kind.TRANSFER)
        booked, refused = await book(connection, wallet, receipts, dust)
        counts.update(booking.state for booking in booked)
        for receipt, reason in refused.items():
            await set_aside(connection, QUARANTINE, item_name(wallet, receipt), reason)
            counts["set aside"] += 1
        last = move_to or receipts[-1]
        if last.at != expected:
            await move_cursor(connection, name, to_json(last.at, last.utime))
    return counts


@dataclass(frozen=True, slots=True)
class Booked:
    """What one transaction did to the ledger."""

    account: str
    at: Position
    state: str
    """That of the deposit, or `operating` for TON that came with a notification or as excesses."""
    currency: str
    amount: int
    user_id: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """A receipt of one of our wallets; `owner`: whose own address the wallet is."""

    account: str
    owner: int | None
    receipt: Receipt


async def book(
    connection: Connection, wallet: Wallet, receipts: Sequence[Receipt], dust: Mapping[str, int]
) -> tuple[list[Booked], dict[Receipt, str]]:
    """As book_many, for one wallet."""
    items = [Item(wallet.address, wallet.user_id, receipt) for receipt in receipts]
    booked, refused = await book_many(connection, items, dust)
    return booked, {item.receipt: reason for item, reason in refused.items()}


async def book_many(
    connection: Connection, items: Sequence[Item], dust: Mapping[str, int]
) -> tuple[list[Booked], dict[Item, str]]:
    """Record and post the receipts in the caller's transaction, each once whoever recorded it before.

    Returns what was booked, and the receipts that cannot be booked with the reason. The caller holds the
    cursors of the wallets locked (`read_cursor`), so that two of them take turns.
    """
    booked: list[Booked] = []
    refused = {item: item.receipt.problem for item in items if item.receipt.kind is Kind.UNREADABLE}

    async def record(connection: Connection, items: Sequence[Item]) -> dict[Item, str]:
        largest = {item: max(item.receipt.amount, item.receipt.attached) for item in items}
        fitting = [item for item in items if largest[item] <= MAX_AMOUNT]
        rows = await connection.fetch(RECORD, *_columns(fitting, dust))
        booked.extend(
            Booked(
                row["account"],
                Position(row["lt"], row["hash"]),
                row["state"],
                row["currency"],
                row["amount"],
                row["user_id"],
            )
            for row in rows
        )
        return {item: f"{large} is beyond a bigint" for item, large in largest.items() if large > MAX_AMOUNT}

    bookable = [item for item in items if item.receipt.amount or item.receipt.attached]
    if bookable:
        if any(item.receipt.comment for item in bookable):
            await write_keys(connection)
        refused |= await process_or_split(connection, record, bookable)
    return booked, refused


async def write_keys(connection: Connection) -> None:
    """Write the keys of codes that have none: of invoices issued since the last time."""
    while rows := await connection.fetch(CODES_WITHOUT_KEY, KEYS_AT_ONCE):
        keys = [comment_key(row["code"]) for row in rows]
        await connection.execute(WRITE_KEYS, [row["id"] for row in rows], [row["code"] for row in rows], keys)
        if len(rows) < KEYS_AT_ONCE:
            return


def item_name(wallet: Wallet, receipt: Receipt) -> str:
    """What dozor.quarantine calls a transaction."""
    return f"transaction {receipt.at.lt}:{receipt.at.hash.hex()} of {wallet.address}"


def _columns(items: Sequence[Item], dust: Mapping[str, int]) -> list[object]:
    receipts = [item.receipt for item in items]
    return [
        [item.account for item in items],
        [item.owner for item in items],
        [receipt.at.lt for receipt in receipts],
        [receipt.at.hash for receipt in receipts],
        [receipt.currency for receipt in receipts],
        [receipt.amount for receipt in receipts],
        [dust.get(receipt.currency, 0) for receipt in receipts],
        [receipt.sender for receipt in receipts],
        [receipt.comment for receipt in receipts],
        [receipt.utime for receipt in receipts],
        [receipt.plain for receipt in receipts],
        [receipt.attached for receipt in receipts],
        [comment_key(receipt.comment or "") for receipt in receipts],
    ]
