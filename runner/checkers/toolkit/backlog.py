"""How far behind a checker is: reported every run, and an alert when it succeeds and yet falls behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runner.checkers.context import CheckerContext

FALL_BEHIND: Final = """
INSERT INTO dozor.lags (checker, behind_since) VALUES ($1, now())
ON CONFLICT (checker) DO NOTHING RETURNING checker"""
CATCH_UP: Final = "DELETE FROM dozor.lags WHERE checker = $1 RETURNING behind_since"


@dataclass(frozen=True, slots=True)
class Backlog:
    """`size` items are due and not processed; the oldest is due since `oldest_at`, `age` seconds ago.

    Both are None when nothing waits. The age is the database's: clocks of machines differ.
    """

    size: int
    oldest_at: datetime | None
    age: float | None


async def report_backlog(ctx: CheckerContext, checker: str, backlog: Backlog, limit: float | None) -> None:
    """Hand the backlog to the runner (metrics, `/status`) and alert when its age passes `limit` seconds.

    One alert when the checker falls behind and one when it has caught up, across processes and restarts.
    The alert is inside the transaction that remembers it: a crash repeats it, never loses it.
    """
    ctx.backlog(backlog.size, backlog.oldest_at)
    if limit is None:
        return
    behind = backlog.age is not None and backlog.age > limit
    async with ctx.db.acquire() as connection, connection.transaction():
        if behind:
            if await connection.fetchval(FALL_BEHIND, checker) is not None:
                ctx.alert(
                    f"{checker}: falling behind. {backlog.size} wait, the oldest for {backlog.age:.0f} s "
                    f"(limit {limit:.0f} s)",
                    "critical",
                )
        elif await connection.fetchval(CATCH_UP, checker) is not None:
            ctx.alert(f"{checker}: caught up, {backlog.size} wait", "info")
