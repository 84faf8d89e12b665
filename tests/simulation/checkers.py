"""Checkers that are healthy for days and broken for hours, in every known way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from dozor.errors import Fatal
from dozor.supervision.runs.context import Context

DAY = 86_400.0


class SimulatedOutageError(ConnectionError):
    """Our database was away in the middle of a run."""


class Checker:
    """`began` and `ended` hear of every run; `database_up` says whether ctx.db would work."""

    def __init__(
        self,
        luck: random.Random,
        began: Callable[[], None],
        ended: Callable[[], None],
        database_up: Callable[[], bool],
        *,
        continuous: bool,
        needs_database: bool,
    ) -> None:
        self._luck = luck
        self._began = began
        self._ended = ended
        self._database_up = database_up
        self._continuous = continuous
        self._needs_database = needs_database
        self._ill_until = -1.0
        self._well_until = luck.expovariate(1 / (10 * DAY))
        self._illnesses: tuple[Callable[[], Awaitable[None]], ...] = (
            self._fail,
            self._fail,
            self._every_other,
            self._hang,
            self._deaf,
            self._library,
            self._fatal,
        )
        self._illness: Callable[[], Awaitable[None]] = self._fail

    async def __call__(self, ctx: Context) -> None:
        self._began()
        try:
            await self._run(ctx)
        finally:
            self._ended()

    async def _run(self, ctx: Context) -> None:
        now = asyncio.get_running_loop().time()
        if now > self._well_until and now > self._ill_until:
            self._illness = self._luck.choice(self._illnesses)
            self._ill_until = now + self._luck.expovariate(1 / (DAY / 4))
            self._well_until = self._ill_until + self._luck.expovariate(1 / (10 * DAY))
        if now < self._ill_until:
            await self._illness()
            return
        if self._continuous:
            for _ in range(self._luck.randrange(1, 50)):
                if await ctx.stopping.wait(self._luck.uniform(600, 14_400)):
                    return
                self._ask_database()
                ctx.heartbeat()
            return
        await asyncio.sleep(self._luck.choice((0.0, 0.01, 1.0, 20.0)))
        self._ask_database()

    def _ask_database(self) -> None:
        if self._needs_database and not self._database_up():
            raise SimulatedOutageError("server closed the connection unexpectedly")

    async def _fail(self) -> None:
        await asyncio.sleep(self._luck.random())
        raise ValueError(f"bad lot {self._luck.randrange(5)}")

    async def _every_other(self) -> None:
        if self._luck.random() < 0.5:
            raise KeyError("provider")

    async def _hang(self) -> None:
        await asyncio.sleep(10 * DAY)

    async def _deaf(self) -> None:
        """Swallows two cancellations, then obeys."""
        for _ in range(3):
            try:
                await asyncio.sleep(DAY)
            except asyncio.CancelledError:
                continue
        raise RuntimeError("cancelled at last")

    async def _library(self) -> None:
        raise asyncio.CancelledError

    async def _fatal(self) -> None:
        if self._luck.random() < 0.3:
            raise Fatal("no such account")
