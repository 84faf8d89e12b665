"""Receipts become deposits: recorded, posted and the cursor moved in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import move_cursor, process_or_split, read_cursor, set_aside
from dozor.toolkit.context import CheckerContext
from dozor_market.ledger import MAX_AMOUNT
from dozor_market.ton.reader import Wallet
from dozor_market.ton.transactions import Kind, Position, Receipt

QUARANTINE: Final = "ton deposits"
ATTRIBUTE_COMMAND: Final = "dozor attribute {deposit} USER"
TOLD_AT_ONCE: Final = 20

RECORD: Final = """
WITH incoming AS MATERIALIZED (
        SELECT t.*, nextval('market.deposits_id_seq') AS id,
               nextval('market.movements_id_seq') AS movement_id,
               CASE WHEN t.amount >= t.dust AND t.plain THEN coalesce($2::bigint, i.user_id) END AS user_id
          FROM unnest($3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
                      $9::text[], $10::bigint[], $11::boolean[])
               AS t (lt, hash, currency, amount, dust, sender, comment, utime, plain)
          LEFT JOIN market.invoices i ON i.code = t.comment
         WHERE NOT EXISTS (SELECT FROM market.deposits d
                            WHERE d.account = $1 AND d.lt = t.lt AND d.hash = t.hash)),
     movement AS (
        INSERT INTO market.movements (id, reference)
        SELECT movement_id, 'ton:' || $1 || ':' || lt || ':' || encode(hash, 'hex')
          FROM incoming WHERE amount >= dust),
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
         WHERE incoming.user_id IS NULL AND amount >= dust)
INSERT INTO market.deposits
       (id, account, lt, hash, currency, amount, sender, comment, user_id, received_at, state)
SELECT id, $1, lt, hash, currency, amount, sender, comment, user_id, to_timestamp(utime),
       CASE WHEN amount < dust THEN 'dust' WHEN user_id IS NULL THEN 'unmatched' ELSE 'credited' END
  FROM incoming RETURNING state"""
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
    Otherwise how many of each kind there were. A receipt that the ledger refuses is set aside.
    """
    counts: Counter[str] = Counter()
    name = cursor_name(wallet.address)
    async with connection.transaction():
        position = await read_cursor(connection, name)
        if position is None or from_json(position) != expected:
            return None
        transfers = [receipt for receipt in receipts if receipt.kind is Kind.TRANSFER]
        counts.update(receipt.kind.value for receipt in receipts if receipt.kind is not Kind.TRANSFER)

        async def record(connection: Connection, items: Sequence[Receipt]) -> dict[Receipt, str]:
            fitting = [item for item in items if item.amount <= MAX_AMOUNT]
            states = await connection.fetch(RECORD, *_columns(wallet, fitting, dust))
            recorded.update(row["state"] for row in states)
            return {item: f"{item.amount} is beyond a bigint" for item in items if item.amount > MAX_AMOUNT}

        recorded: Counter[str] = Counter()
        for receipt, reason in (await process_or_split(connection, record, transfers)).items():
            item = f"transaction {receipt.at.lt}:{receipt.at.hash.hex()} of {wallet.address}"
            await set_aside(connection, QUARANTINE, item, reason)
            counts["set aside"] += 1
        counts += recorded
        await move_cursor(connection, name, to_json(move_to or receipts[-1].at))
    return counts


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
