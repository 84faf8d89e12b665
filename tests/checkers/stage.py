"""A checker's context for tests, and the marketplace's people."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loguru import logger

from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.ledger import AccountKind, create_user, read_balance, transfer


@dataclass
class StageContext:
    """Keeps what a checker says. Satisfies dozor.toolkit.context.CheckerContext."""

    db: Pool
    task: str = "checker_under_test"
    log: Any = logger
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    backlogs: list[tuple[int, datetime | None]] = field(default_factory=list)
    limits: list[float | None] = field(default_factory=list)
    done: list[tuple[float, float]] = field(default_factory=list)
    beats: int = 0

    def heartbeat(self) -> None:
        self.beats += 1

    def progress(self, done: float, total: float) -> None:
        self.done.append((done, total))

    def alert(self, text: str, severity: str = "warning") -> None:
        self.alerts.append((text, severity))

    def backlog(self, size: int, oldest_at: datetime | None = None, limit: float | None = None) -> None:
        self.backlogs.append((size, oldest_at))
        self.limits.append(limit)


async def rich_user(connection: Connection, name: str, amount: int, currency: str = "TON") -> int:
    """A user with `amount` smallest units free to spend."""
    user = await create_user(connection, name)
    if amount:
        await transfer(
            connection,
            f"test:gift:{user}:{currency}",
            currency,
            amount,
            source=(None, AccountKind.EXTERNAL),
            target=(user, AccountKind.AVAILABLE),
        )
    return user


async def purse(connection: Connection, user: int | None, currency: str = "TON") -> dict[str, int]:
    """What a user has: available, held, collateral."""
    return {
        kind.value: await read_balance(connection, user, kind, currency)
        for kind in (AccountKind.AVAILABLE, AccountKind.HELD, AccountKind.COLLATERAL)
    }


async def house(connection: Connection, currency: str = "TON") -> int:
    """What the house has earned."""
    return await read_balance(connection, None, AccountKind.HOUSE, currency)
