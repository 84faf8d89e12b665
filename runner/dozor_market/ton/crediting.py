"""Receipts become deposits: recorded, posted and the cursor moved in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import move_cursor, process_or_split, read_cursor, set_aside
from dozor.toolkit.context import CheckerContext
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.reader import Wallet
from dozor_market.ton.transactions import Kind, Position, Receipt

QUARANTINE: Final = "ton deposits"
ATTRIBUTE_COMMAND: Final = "dozor market attribute {deposit} USER"
TOLD_AT_ONCE: Final = 20

RECORD: Final = """
WITH given AS MATERIALIZED (
        SELECT t.*, 'ton:' || $1 || ':' || t.lt || ':' || encode(t.hash, 'hex') AS reference
          FROM unnest($3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
                      $9::text[], $10::bigint[], $11::boolean[], $12::bigint[])
               AS t (lt, hash, currency, amount, dust, sender, comment, utime, plain, attached)
         WHERE NOT EXISTS (SELECT FROM market.ton_exclusions e
                            WHERE e.account = $1 AND e.hash = t.hash)),
     incoming AS MATERIALIZED (
        SELECT t.*, nextval('market.deposits_id_seq') AS id,
               nextval('market.movements_id_seq') AS movement_id,
               CASE WHEN t.amount >= t.dust AND t.plain THEN coalesce($2::bigint, i.user_id) END AS user_id
          FROM given t
          LEFT JOIN market.invoices i ON i.code = t.comment
         WHERE t.amount > 0
           AND NOT EXISTS (SELECT FROM market.deposits d
                            WHERE d.account = $1 AND d.lt = t.lt AND d.hash = t.hash)),
     attached AS MATERIALIZED (
        SELECT t.lt, t.hash, t.attached AS amount, t.reference || ':attached' AS reference,
               nextval('market.movements_id_seq') AS movement_id
          FROM given t
         WHERE t.attached > 0
           AND NOT EXISTS (SELECT FROM market.movements m WHERE m.reference = t.reference || ':attached')),
     movement AS (
        INSERT INTO market.movements (id, reference)
        SELECT movement_id, reference FROM incoming WHERE amount >= dust
        UNION ALL
        SELECT movement_id, reference FROM attached),
     posted AS (
        INSERT INTO market.postings (movement_id, account_id, currency, amount)
        SELECT incoming.movement_id, a.id, incoming.currency, -incoming.amount
          FROM incoming
          LEFT JOIN market.accounts a
            ON a.user_id IS NULL AND a.kind = 'external' AND a.currency = incoming.currency
         WHERE amount >= dust
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
         WHERE incoming.user_id IS NULL AND amount >= dust
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
        SELECT id, $1, lt, hash, currency, amount, sender, comment, user_id, to_timestamp(utime),
               CASE WHEN amount < dust THEN 'dust' WHEN user_id IS NULL THEN 'unmatched' ELSE 'credited' END
          FROM incoming RETURNING lt, hash, state, currency, amount, user_id)
SELECT lt, hash, state, currency, amount, user_id FROM recorded
UNION ALL
SELECT lt, hash, 'operating', 'TON', amount, NULL FROM attached"""
UNTOLD: Final = """
SELECT id, account, currency, amount, sender, comment FROM market.deposits
 WHERE state = 'unmatched' AND alerted_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED"""
TOLD: Final = "UPDATE market.deposits SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


def cursor_name(address: str) -> str:
    """Name of a wallet's cursor in dozor.cursors."""
    return f"ton:{address}"


def to_json(position: Position) -> dict[str, object]:
    """A position as the cursor keeps it."""
    return {"lt": position.lt, "hash": position.hash.hex()}


def from_json(position: Mapping[str, object]) -> Position:
    """A kept position. Raises ValueError when somebody has edited it into nonsense."""
    lt, hash_hex = position.get("lt"), position.get("hash")
    if not isinstance(lt, int) or not isinstance(hash_hex, str) or (lt > 0) != (len(hash_hex) == 64):
        raise ValueError(f"the cursor {position!r} is not a transaction: mend it in dozor.cursors")
    return Position(lt, bytes.fromhex(hash_hex))


async def credit(
    connection: Connection,
    wallet: Wallet,
    expected: Position,
    receipts: Sequence[Receipt],
    dust: Mapping[str, int],
    *,
    move_to: Position | None = None,
) -> Counter[str] | None:
    """Record the receipts, oldest first, and move the cursor to the last, in one transaction.

    `move_to`: where the cursor moves instead; then `receipts` may leave out some, or be empty.
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
        await move_cursor(connection, name, to_json(move_to or receipts[-1].at))
    return counts


@dataclass(frozen=True, slots=True)
class Booked:
    """What one transaction did to the ledger."""

    at: Position
    state: str
    """That of the deposit, or `operating` for TON that came with a notification or as excesses."""
    currency: str
    amount: int
    user_id: int | None


async def book(
    connection: Connection, wallet: Wallet, receipts: Sequence[Receipt], dust: Mapping[str, int]
) -> tuple[list[Booked], dict[Receipt, str]]:
    """Record and post the receipts in the caller's transaction, each once whoever recorded it before.

    Returns what was booked, and the receipts that cannot be booked with the reason. The caller holds the
    wallet's cursor locked (`read_cursor`), so that two of them take turns.
    """
    booked: list[Booked] = []
    refused = {receipt: receipt.problem for receipt in receipts if receipt.kind is Kind.UNREADABLE}

    async def record(connection: Connection, items: Sequence[Receipt]) -> dict[Receipt, str]:
        fitting = [item for item in items if max(item.amount, item.attached) <= MAX_AMOUNT]
        rows = await connection.fetch(RECORD, *_columns(wallet, fitting, dust))
        booked.extend(
            Booked(
                Position(row["lt"], row["hash"]), row["state"], row["currency"], row["amount"], row["user_id"]
            )
            for row in rows
        )
        return {
            item: f"{max(item.amount, item.attached)} is beyond a bigint"
            for item in items
            if max(item.amount, item.attached) > MAX_AMOUNT
        }

    bookable = [receipt for receipt in receipts if receipt.amount or receipt.attached]
    if bookable:
        refused |= await process_or_split(connection, record, bookable)
    return booked, refused


def item_name(wallet: Wallet, receipt: Receipt) -> str:
    """What dozor.quarantine calls a transaction."""
    return f"transaction {receipt.at.lt}:{receipt.at.hash.hex()} of {wallet.address}"


def _columns(wallet: Wallet, receipts: Sequence[Receipt], dust: Mapping[str, int]) -> list[object]:
    return [
        wallet.address,
        wallet.user_id,
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
    ]


async def tell_unmatched(ctx: CheckerContext) -> None:
    """Alert, once, about deposits whose owner is not known, with the command that attributes them."""
    async with ctx.db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(UNTOLD)
        if not rows:
            return
        lines = [msg("log-ton-unmatched", count=len(rows))]
        for row in rows[:TOLD_AT_ONCE]:
            command = ATTRIBUTE_COMMAND.format(deposit=row["id"])
            comment = (
                msg("log-ton-no-comment")
                if row["comment"] is None
                else msg("log-ton-comment", comment=repr(row["comment"][:60]))
            )
            lines.append(
                msg(
                    "log-ton-unmatched-line",
                    amount=row["amount"],
                    currency=row["currency"],
                    sender=row["sender"],
                    comment=comment,
                    command=command,
                )
            )
        if len(rows) > TOLD_AT_ONCE:
            lines.append(msg("log-ton-unmatched-more", count=len(rows) - TOLD_AT_ONCE))
        ctx.alert("\n".join(lines), "warning")
        await connection.execute(TOLD, [row["id"] for row in rows])
