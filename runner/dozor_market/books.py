"""Checks of the ledger against itself: the audit, and deposits against postings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.ledger import audit

MOST: Final = 1000
"""Faults of one kind that are looked for."""

DEPOSITS_SQL: Final = """
WITH tied AS (
        SELECT d.id AS deposit_id, m.id AS movement_id FROM market.deposits d
          JOIN market.movements m
            ON m.reference = 'ton:' || d.account || ':' || d.lt || ':' || encode(d.hash, 'hex')
        UNION ALL
        SELECT split_part(m.reference, ':', 2)::bigint, m.id FROM market.movements m
         WHERE m.reference ~ '^deposit:[0-9]{1,18}:'),
     net AS (
        SELECT d.id,
               coalesce(sum(p.amount) FILTER (WHERE a.kind = 'external'), 0) AS outside,
               coalesce(sum(p.amount) FILTER (WHERE a.kind = 'unattributed'), 0) AS unattributed,
               coalesce(sum(p.amount) FILTER (WHERE a.kind = 'available' AND a.user_id = d.user_id), 0)
                 AS owned
          FROM market.deposits d
          LEFT JOIN tied t ON t.deposit_id = d.id
          LEFT JOIN market.postings p ON p.movement_id = t.movement_id AND p.currency = d.currency
          LEFT JOIN market.accounts a ON a.id = p.account_id
         GROUP BY d.id)
SELECT d.id, d.state, d.currency, d.amount, d.user_id, net.outside::text AS outside,
       net.unattributed::text AS unattributed, net.owned::text AS owned
  FROM market.deposits d JOIN net ON net.id = d.id
 WHERE net.outside <> CASE WHEN d.state IN ('dust', 'internal') THEN 0 ELSE -d.amount END
    OR net.unattributed <> CASE d.state WHEN 'unmatched' THEN d.amount ELSE 0 END
    OR net.owned <> CASE WHEN d.state IN ('credited', 'attributed') THEN d.amount ELSE 0 END
 ORDER BY d.id LIMIT $1"""
"""A deposit with every movement about it: the one that posted it, and `deposit:ID:...` of people."""
WITHOUT_DEPOSIT_SQL: Final = """
SELECT m.id, m.reference FROM market.movements m
 WHERE m.reference LIKE 'ton:%' AND m.reference NOT LIKE '%:attached'
   AND NOT EXISTS (SELECT FROM market.deposits d
                    WHERE m.reference = 'ton:' || d.account || ':' || d.lt || ':' || encode(d.hash, 'hex'))
 ORDER BY m.id LIMIT $1"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be. `subject`: what it is about, the same in every run that finds it."""

    subject: str
    text: str
    sure: bool = True
    """False: it may be passing, such as a transfer on its way. It counts once two runs have found it."""


async def read_faults(connection: Connection) -> list[Fault]:
    """Every fault of the books. Reads all of them."""
    found = [Fault(_subject(text), text) for text in await audit(connection)]
    for row in await connection.fetch(DEPOSITS_SQL, MOST):
        text = msg(
            "log-reconcile-deposit",
            deposit=str(row["id"]),
            state=row["state"],
            amount=str(row["amount"]),
            currency=row["currency"],
            user=str(row["user_id"] or "-"),
            outside=row["outside"],
            owned=row["owned"],
            unattributed=row["unattributed"],
        )
        found.append(Fault(f"deposit {row['id']}", text))
    for row in await connection.fetch(WITHOUT_DEPOSIT_SQL, MOST):
        text = msg("log-reconcile-no-deposit", movement=str(row["id"]), reference=row["reference"])
        found.append(Fault(f"movement {row['id']}", text))
    return found


def _subject(text: str) -> str:
    """Of a fault that the audit words, without its amounts: "account 16 holds"."""
    place, _, rest = text.partition(":")
    word = re.search(r"[a-z]+", rest)
    return f"{place} {word[0]}" if word else place
