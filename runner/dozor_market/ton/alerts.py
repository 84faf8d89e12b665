"""Alerts about transfers that wait and about providers that contradict each other, each sent once.

The mark is committed after the alert was handed over: a crash in between repeats the alert, never loses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dozor.language import msg
from dozor.toolkit.context import CheckerContext
from dozor_market.ton.agreement import evidence
from dozor_market.ton.agreement.pending import money_in_words
from dozor_market.ton.messages.comments import shown

SHOWN: Final = 10
"""Transfers shown in one alert; the others are counted."""
APPROVE_COMMAND: Final = "dozor market approve {id}"
REJECT_COMMAND: Final = "dozor market reject {id}"

UNCONFIRMED_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash, p.currency, p.amount, p.attached, p.sender, p.comment, p.providers,
       p.others, c.decimals
  FROM market.ton_pending p LEFT JOIN market.currencies c ON c.code = p.currency
 WHERE state = 'unconfirmed' AND alerted_at IS NULL
   AND (seen_at < now() - make_interval(secs => $1)
        OR omitted AND received_at < now() - make_interval(secs => $1))
 ORDER BY p.id FOR UPDATE OF p SKIP LOCKED"""
OVER_LIMIT_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash, p.currency, p.amount, p.attached, p.sender, p.comment, p.providers,
       p.others, c.decimals
  FROM market.ton_pending p LEFT JOIN market.currencies c ON c.code = p.currency
 WHERE state = 'over_limit' AND alerted_at IS NULL ORDER BY p.id FOR UPDATE OF p SKIP LOCKED"""
REFUTED_SQL: Final = """
SELECT p.id, p.account, p.lt, p.hash, p.currency, p.amount, p.attached, p.sender, p.comment, p.providers,
       p.others, c.decimals
  FROM market.ton_pending p LEFT JOIN market.currencies c ON c.code = p.currency
 WHERE state = 'refuted' AND alerted_at IS NULL ORDER BY p.id FOR UPDATE OF p SKIP LOCKED"""
ALERTED_SQL: Final = "UPDATE market.ton_pending SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


async def alert_all(ctx: CheckerContext, unconfirmed_after: float) -> None:
    """Send what is due. unconfirmed_after: seconds a transfer may wait for a second provider."""
    async with ctx.db.acquire() as connection, connection.transaction():
        contradictions = await connection.fetch(evidence.DUE_SQL, evidence.REMIND)
        for row in contradictions:
            text = evidence.describe(row["account"], row["id"], row["latest"], row["decimals"])
            ctx.alert(text, "critical")
        if contradictions:
            await connection.execute(evidence.ALERTED_SQL, [row["id"] for row in contradictions])
        refuted = await connection.fetch(REFUTED_SQL)
        if refuted:
            ctx.alert(_text(msg("log-ton-refuted", count=len(refuted)), refuted), "critical")
        unconfirmed = await connection.fetch(UNCONFIRMED_SQL, unconfirmed_after)
        if unconfirmed:
            ctx.alert(_text(msg("log-ton-unconfirmed", count=len(unconfirmed)), unconfirmed), "warning")
        over = await connection.fetch(OVER_LIMIT_SQL)
        if over:
            ctx.alert(_text(msg("log-ton-over-limit", count=len(over)), over, decide=True), "warning")
        if alerted := [row["id"] for row in (*refuted, *unconfirmed, *over)]:
            await connection.execute(ALERTED_SQL, alerted)


def _text(title: str, rows: Sequence[Any], *, decide: bool = False) -> str:
    lines = [title]
    for row in rows[:SHOWN]:
        line = msg(
            "log-ton-pending-line",
            money=money_in_words(int(row["amount"]), row["currency"], row["decimals"], int(row["attached"])),
            account=row["account"],
            sender=row["sender"] or msg("log-ton-nobody"),
            comment=shown(row["comment"]),
            lt=str(row["lt"]),
            hash=row["hash"].hex(),
            providers=", ".join(row["providers"]),
        )
        if decide:
            approve, reject = APPROVE_COMMAND.format(id=row["id"]), REJECT_COMMAND.format(id=row["id"])
            line = msg("log-ton-decide", line=line, approve=approve, reject=reject)
        lines.append(line)
    if len(rows) > SHOWN:
        lines.append(msg("log-ton-pending-more", count=len(rows) - SHOWN))
    others = sorted({row["others"] for row in rows if row["others"]})
    lines += [msg("log-ton-answers", said=said) for said in others[:SHOWN]]
    return "\n".join(lines)
