"""What may still be booked on a single provider's word: the limits less what was used within the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dozor.storage.postgres.pool import Connection
from dozor_market.ton.agreement.limits import SingleSourceLimits, over_limit
from dozor_market.ton.messages.transactions import Receipt

KEPT_CREDITS: Final = 30 * 86_400.0
"""Seconds for which sums credited on one provider's word are kept at least."""
ONE_AT_A_TIME_SQL: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('market.ton_single_source_credits', 0))"
)
USED_SQL: Final = """
SELECT currency, sum(amount) AS amount FROM market.ton_single_source_credits
 WHERE credited_at > now() - make_interval(secs => $1) GROUP BY currency"""
OURS_SQL: Final = "SELECT address FROM market.ton_wallets WHERE address = ANY($1)"
USE_SQL: Final = """
INSERT INTO market.ton_single_source_credits (currency, amount)
SELECT currency, amount FROM unnest($1::text[], $2::numeric[]) AS t (currency, amount)"""
PRUNE_SQL: Final = """
DELETE FROM market.ton_single_source_credits WHERE credited_at < now() - make_interval(secs => $1)"""


async def take_turns(connection: Connection) -> None:
    """Lock the sums until the end of the caller's transaction. To be locked before a wallet's cursor."""
    await connection.execute(ONE_AT_A_TIME_SQL)


async def hold_back(
    connection: Connection, receipts: Sequence[Receipt], dust: Mapping[str, int], limits: SingleSourceLimits
) -> tuple[list[Receipt], dict[str, int]]:
    """As limits.over_limit. Callers take turns (see take_turns).

    What a wallet of ours sent is not posted (crediting.RECORD), and judged by the TON attached to it alone.
    """
    await take_turns(connection)
    rows = await connection.fetch(USED_SQL, limits.window)
    used = {row["currency"]: int(row["amount"]) for row in rows}
    rows = await connection.fetch(OURS_SQL, [receipt.sender for receipt in receipts])
    ours = {row["address"] for row in rows}
    judged = [replace(receipt, amount=0) if receipt.sender in ours else receipt for receipt in receipts]
    held, added = over_limit(judged, dust, limits, used)
    over = {receipt.at for receipt in held}
    return [receipt for receipt in receipts if receipt.at in over], added


async def use(connection: Connection, added: Mapping[str, int], limits: SingleSourceLimits) -> None:
    """Record what was booked on a single provider's word, in smallest units by currency."""
    await connection.execute(USE_SQL, list(added), list(added.values()))
    await connection.execute(PRUNE_SQL, max(KEPT_CREDITS, limits.window))
