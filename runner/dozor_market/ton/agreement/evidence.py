"""Contradictions between providers: recorded with the evidence, alerted once and then daily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.ton.agreement.comparison import RECORDED, Contradiction, Statement
from dozor_market.ton.messages.amounts import TON_DECIMALS, in_whole
from dozor_market.ton.messages.transactions import Position, Receipt

SHOWN: Final = 5
"""Transactions of one provider shown in an alert; more are in the table."""
CALM: Final = 600.0
"""Seconds without a contradiction after which it has ended: one that comes and goes is one."""
REMIND: Final = 86_400.0
"""Seconds between two alerts about one contradiction that stays."""

RECORD_SQL: Final = """
INSERT INTO market.ton_contradictions AS c (account, evidence, latest) VALUES ($1, $2, $2)
ON CONFLICT (account) WHERE ended_at IS NULL DO UPDATE
   SET latest = EXCLUDED.latest, last_seen_at = now(), rounds = c.rounds + 1"""
END_SQL: Final = """
UPDATE market.ton_contradictions SET ended_at = now()
 WHERE account = $1 AND ended_at IS NULL AND last_seen_at < now() - make_interval(secs => $2)
RETURNING id"""
DUE_SQL: Final = """
SELECT id, account, latest, rounds,
       (SELECT jsonb_object_agg(code, decimals) FROM market.currencies) AS decimals
  FROM market.ton_contradictions
 WHERE ended_at IS NULL AND (alerted_at IS NULL OR alerted_at < now() - make_interval(secs => $1))
 ORDER BY id FOR UPDATE SKIP LOCKED"""
ALERTED_SQL: Final = "UPDATE market.ton_contradictions SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


def to_evidence(contradictions: Sequence[Contradiction], answers: str) -> dict[str, Any]:
    """As the table keeps it. Amounts are text: JSON readers lose digits beyond 2**53."""
    return {
        "answers": answers,
        "contradictions": [
            [_statement(statement) for statement in contradiction.statements]
            for contradiction in contradictions
        ],
    }


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "provider": statement.provider,
        "newest": _position(statement.newest),
        "count": statement.count,
        "transactions": [_transaction(receipt) for receipt in statement.disputed],
    }


def _transaction(receipt: Receipt) -> dict[str, Any]:
    return {
        **_position(receipt.at),
        "kind": receipt.kind.value,
        "currency": receipt.currency,
        "amount": str(receipt.amount),
        "attached": str(receipt.attached),
        "sender": receipt.sender,
    }


def _position(position: Position) -> dict[str, Any]:
    return {"lt": position.lt, "hash": position.hash.hex()}


def describe(account: str, number: int, evidence: dict[str, Any], decimals: Mapping[str, int]) -> str:
    """The text of the alert. decimals: of each currency, for decimal amounts."""
    lines = [msg("log-ton-contradiction", account=account)]
    for contradiction in evidence["contradictions"]:
        lines += [_described(statement, decimals) for statement in contradiction]
    lines.append(msg("log-ton-answers", said=evidence["answers"]))
    lines.append(msg("log-ton-contradiction-remedy", number=str(number)))
    return "\n".join(lines)


def _described(statement: dict[str, Any], decimals: Mapping[str, int]) -> str:
    newest, provider = statement["newest"], statement["provider"]
    where = {"lt": str(newest["lt"]), "hash": newest["hash"]}
    if provider == RECORDED:
        return msg("log-ton-recorded", **where)
    shown = [_shown(one, decimals) for one in statement["transactions"][:SHOWN]]
    if not shown:
        return msg("log-ton-none-of-these", provider=provider, **where)
    more = statement["count"] - len(shown)
    if more > 0:
        shown.append(msg("log-ton-more", count=more))
    return f"{provider}: " + "; ".join(shown)


def _shown(one: dict[str, Any], decimals: Mapping[str, int]) -> str:
    text = f"lt {one['lt']}, hash {one['hash']}, {one['kind']}"
    if one["amount"] != "0":
        amount = in_whole(int(one["amount"]), decimals.get(one["currency"], 0))
        text = msg("log-ton-of-money", text=text, amount=amount, currency=one["currency"])
    if one["attached"] != "0":
        text = msg("log-ton-with-attached", text=text, amount=in_whole(int(one["attached"]), TON_DECIMALS))
    return text


async def record(
    connection: Connection, account: str, contradictions: Sequence[Contradiction], answers: str
) -> None:
    """Keep the evidence: of the first round and of this one."""
    await connection.execute(RECORD_SQL, account, to_evidence(contradictions, answers))


async def end_calm(connection: Connection, account: str) -> bool:
    """End the wallet's contradiction when the last CALM seconds had none. Returns whether one ended now."""
    return await connection.fetchval(END_SQL, account, CALM) is not None
