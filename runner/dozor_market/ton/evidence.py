"""Contradictions between providers: recorded with the evidence, alerted once and then daily."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dozor.storage.postgres.pool import Connection
from dozor_market.ton.comparison import RECORDED, Contradiction, Statement
from dozor_market.ton.transactions import Position, Receipt

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
SELECT id, account, latest, rounds FROM market.ton_contradictions
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


def describe(account: str, number: int, evidence: dict[str, Any]) -> str:
    """The text of the alert."""
    lines = [
        f"TON providers contradict each other about wallet {account}. Nothing is credited to this wallet"
        " while they do; other wallets are not affected."
    ]
    for contradiction in evidence["contradictions"]:
        lines += [_described(statement) for statement in contradiction]
    lines.append(f"Answers: {evidence['answers']}")
    lines.append(
        "Compare with a block explorer and remove the provider that is wrong from args.providers of the task."
        f" The evidence is row {number} of market.ton_contradictions."
    )
    return "\n".join(lines)


def _described(statement: dict[str, Any]) -> str:
    newest, provider = statement["newest"], statement["provider"]
    if provider == RECORDED:
        return (
            f"{provider}: transaction lt {newest['lt']}, hash {newest['hash']}, confirmed in an earlier round"
        )
    shown = [
        f"lt {one['lt']}, hash {one['hash']}, {one['kind']}"
        + (f" of {one['amount']} {one['currency']} units" if one["amount"] != "0" else "")
        + (f" with {one['attached']} TON units attached" if one["attached"] != "0" else "")
        for one in statement["transactions"][:SHOWN]
    ]
    if not shown:
        return f"{provider}: none of these; its newest is lt {newest['lt']}, hash {newest['hash']}"
    more = statement["count"] - len(shown)
    return f"{provider}: " + "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


async def record(
    connection: Connection, account: str, contradictions: Sequence[Contradiction], answers: str
) -> None:
    """Keep the evidence: of the first round and of this one."""
    await connection.execute(RECORD_SQL, account, to_evidence(contradictions, answers))


async def end_calm(connection: Connection, account: str) -> bool:
    """End the wallet's contradiction when the last CALM seconds had none. Returns whether one ended now."""
    return await connection.fetchval(END_SQL, account, CALM) is not None
