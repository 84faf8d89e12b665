"""The quarantine: items that cannot be processed are set aside and alerted once; the others go on."""

from __future__ import annotations

from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit.context import CheckerContext

NAMED_AT_MOST: Final = 20
"""Items named in one alert; more are counted."""

INSERT: Final = "INSERT INTO dozor.quarantine (checker, item, reason) VALUES ($1, $2, $3)"
UNTOLD: Final = """
SELECT id, item, reason FROM dozor.quarantine
 WHERE checker = $1 AND alerted_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED"""
TOLD: Final = "UPDATE dozor.quarantine SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


async def set_aside(connection: Connection, checker: str, item: str, reason: str) -> None:
    """Record, in the caller's transaction, that `item` ("auction 17") waits for a person."""
    await connection.execute(INSERT, checker, item, reason)


async def announce(ctx: CheckerContext, checker: str) -> int:
    """Alert about what was set aside and not reported yet, all of it in one alert. Returns how many items.

    The mark is committed after the alert was handed over: a crash between repeats the alert, never loses it.
    """
    async with ctx.db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(UNTOLD, checker)
        if rows:
            ctx.alert(describe(checker, [(row["item"], row["reason"]) for row in rows]), "critical")
            await connection.execute(TOLD, [row["id"] for row in rows])
    return len(rows)


def describe(checker: str, items: list[tuple[str, str]]) -> str:
    """The words of the alert: each item with its reason, the first NAMED_AT_MOST of them."""
    lines = [msg("log-set-aside", checker=checker)]
    lines += [f"{item}: {reason}" for item, reason in items[:NAMED_AT_MOST]]
    if len(items) > NAMED_AT_MOST:
        lines.append(msg("log-set-aside-more", count=len(items) - NAMED_AT_MOST))
    return "\n".join(lines)
