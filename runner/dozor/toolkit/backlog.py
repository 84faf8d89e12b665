"""The backlog of a checker: reported by each run; an incident when it grows although runs succeed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dozor.toolkit.context import CheckerContext


@dataclass(frozen=True, slots=True)
class Backlog:
    """`size` items are due and not processed; the oldest is due since `oldest_at`, `age` seconds ago.

    Both are None when nothing waits. The age is the database's: clocks of machines differ.
    """

    size: int
    oldest_at: datetime | None
    age: float | None


def report_backlog(ctx: CheckerContext, backlog: Backlog, limit: float | None) -> None:
    """Hand it to the runner: metrics, `/status`, and an incident while its age is over `limit` seconds."""
    ctx.backlog(backlog.size, backlog.oldest_at, limit)
