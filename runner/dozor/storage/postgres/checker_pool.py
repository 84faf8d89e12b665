"""The pool behind `ctx.db`: apart from the pools of Dozor itself, and each connection has a known holder.

Runs wait for a connection in the order in which they asked. `CheckerPool` counts connections itself, so that
a run that waits on other runs is distinguished from a server that does not answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import asyncpg
from loguru import logger

from dozor.errors import PoolExhaustedError
from dozor.language import msg
from dozor.storage.postgres.pool import CheckerConnection, Connection, Pool, create_pool, disconnect

RECLAIM_AFTER: Final = 5.0
"""Seconds for which a connection may be held by a run that has ended or was abandoned."""
NAMED_IN_ERRORS: Final = 10
"""Holders that an error's text names."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a connection of `ctx.db`. `since`: seconds since the epoch (UTC)."""

    task: str
    run_id: str
    since: float
    over: bool = False
    """The run has ended, or was abandoned as hung, and holds it still."""


@dataclass(slots=True, eq=False)
class _Held:
    db: RunDatabase
    connection: Connection
    since: float
    timeout: float | None
    """The one of `acquire`: asyncpg also gives a release that names none so much time."""
    over_since: float | None = None
    returning: bool = False
    """The return to the pool that is in progress."""


@dataclass(slots=True, eq=False)
class _Waiter:
    task: str
    since: float
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class CheckerPool:
    """`size` connections for all runs. Belongs to the loop it was made in.

    `acquire_timeout`: seconds a run waits for another run's connection before `PoolExhaustedError`.
    `now`: seconds since the epoch.
    """

    def __init__(
        self,
        pool: Pool,
        size: int,
        acquire_timeout: float,
        now: Callable[[], float],
        *,
        label: str = "ctx.db",
    ) -> None:
        self._pool = pool
        self._label = label
        """What a checker calls it, for errors."""
        self.size = size
        self.acquire_timeout = acquire_timeout
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._used = 0
        self._waiters: deque[_Waiter] = deque()
        self._held: dict[int, _Held] = {}
        self.starved_since: float | None = None
        """When the first run began to wait that was not served since; None while none was kept waiting.

        A run that gave up does not end it: every connection is still held by others.
        """

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        size: int,
        acquire_timeout: float,
        now: Callable[[], float],
        application_name: str = "dozor checkers",
    ) -> CheckerPool:
        """Connects when a connection is first needed. Raises as `create_pool`."""
        pool = await create_pool(
            dsn, min_size=0, max_size=size, application_name=application_name, kind=CheckerConnection
        )
        return cls(pool, size, acquire_timeout, now)

    def terminate(self) -> None:
        """Close all connections at once, used or not."""
        self._pool.terminate()

    def for_run(self, task: str, run_id: str, is_over: Callable[[], bool]) -> RunDatabase:
        """What one run uses as its pool. `is_over`: the run has ended, or was abandoned as hung."""
        return RunDatabase(self, self._pool, task, run_id, is_over)

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Whoever holds a connection now, the longest first."""
        return tuple(
            Holder(held.db.task, held.db.run_id, held.since, over=held.db.is_over())
            for held in self._held.values()
        )

    @property
    def all_held(self) -> bool:
        """Whether runs hold every connection. If not, some are connecting, and the server is slow."""
        return len(self._held) >= self.size

    @property
    def waiting(self) -> tuple[str, ...]:
        """Tasks whose runs wait for a connection now, each once, the longest first."""
        return tuple(dict.fromkeys(waiter.task for waiter in self._waiters))

    def reclaim(self) -> None:
        """Close connections that a run still holds `RECLAIM_AFTER` seconds after it was over.

        The server rolls back what was not committed. They are closed, not returned: whatever still uses one
        gets "connection is closed", and never shares it with another run. To be called every second.
        """
        now = self._now()
        for held in list(self._held.values()):
            if held.returning or not held.db.is_over():
                held.over_since = None
            elif held.over_since is None:
                held.over_since = now
            elif now - held.over_since >= RECLAIM_AFTER:
                logger.bind(task=held.db.task, run_id=held.db.run_id).warning(
                    msg(
                        "log-pool-reclaimed",
                        pool=self._label,
                        task=held.db.task,
                        run=held.db.run_id,
                        seconds=f"{now - held.since:.0f}",
                    )
                )
                try:
                    held.connection.terminate()
                except asyncpg.InterfaceError:
                    pass  # the server had closed it already
                self._forget(held)

    async def acquire(self, db: RunDatabase, timeout: float | None) -> Connection:
        """Raises PoolExhaustedError if no run returned one in time, else as asyncpg."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{self._label} belongs to the runner's event loop and cannot be used from another one: "
                "use an `async def` checker, or a connection of your own in a thread"
            )
        began = self._now()
        limit = self.acquire_timeout if timeout is None else min(timeout, self.acquire_timeout)
        if not await self._take_slot(db.task, limit):
            raise PoolExhaustedError(self._exhausted(limit))
        left = None if timeout is None else max(0.001, timeout - (self._now() - began))
        try:
            connection = await self.connected(left)
        except BaseException:
            self._free_slot()
            raise
        if isinstance(connection._con, CheckerConnection):
            connection._con.has_codecs = False  # those of Dozor's own, for jsonb, are for all
        self._held[id(connection)] = _Held(db, connection, self._now(), timeout)
        return connection

    async def connected(self, timeout: float | None) -> Connection:
        """A connection that nobody holds, made now if need be. Raises as `asyncpg.Pool.acquire`."""
        return await self._pool.acquire(timeout=timeout)

    async def release(self, connection: Connection, timeout: float | None) -> None:
        """Returned even if the caller is cancelled meanwhile. asyncpg.InterfaceError for a foreign one."""
        held = self._held.get(id(connection))
        if held is None or held.connection is not connection:
            # A second release does nothing; a connection of another pool is refused.
            await self._pool.release(connection, timeout=timeout)
            return
        if held.returning:
            return
        held.returning = True
        try:
            if getattr(connection._con, "has_codecs", False):
                # asyncpg keeps codecs for as long as the connection lives: the next run would get them.
                await disconnect(connection)
            # asyncpg finishes the return even if we are cancelled: whoever is next then waits in its queue.
            await self._pool.release(connection, timeout=held.timeout if timeout is None else timeout)
        finally:
            self._forget(held)

    def _forget(self, held: _Held) -> None:
        if self._held.pop(id(held.connection), None) is held:
            self._free_slot()

    async def _take_slot(self, task: str, limit: float) -> bool:
        """Wait for the right to one connection; False if `limit` seconds have passed."""
        if self._used < self.size:
            self._used += 1
            return True
        waiter = _Waiter(task, self._now())
        self._waiters.append(waiter)
        if self.starved_since is None:
            self.starved_since = waiter.since
        try:
            await asyncio.wait({waiter.turn}, timeout=limit)
        except asyncio.CancelledError:
            if waiter.turn.done():
                self._free_slot()
            raise
        finally:
            if not waiter.turn.done():
                self._waiters.remove(waiter)
        return waiter.turn.done()

    def _free_slot(self) -> None:
        """To the run that waits longest, if there is one."""
        if self._waiters:
            self._waiters.popleft().turn.set_result(None)
            self.starved_since = self._waiters[0].since if self._waiters else None
        else:
            self._used -= 1
            self.starved_since = None

    def _exhausted(self, limit: float) -> str:
        holders = self.holders
        named = ", ".join(_in_words(holder) for holder in holders[:NAMED_IN_ERRORS])
        more = len(holders) - NAMED_IN_ERRORS
        rest = msg("error-pool-more", count=more) if more > 0 else ""
        connecting = self.size - len(holders)
        rest += msg("error-pool-connecting", count=connecting) if connecting > 0 else ""
        held = f"{named or msg('error-pool-nobody')}{rest}"
        return msg("error-pool-exhausted", pool=self._label, seconds=f"{limit:g}", held=held)


def _in_words(holder: Holder) -> str:
    since = datetime.fromtimestamp(holder.since, UTC).strftime("%H:%M:%S UTC")
    key = "error-pool-holder-over" if holder.over else "error-pool-holder"
    return msg(key, task=holder.task, run=holder.run_id, since=since)


class RunDatabase(asyncpg.Pool):  # type: ignore[misc]  # asyncpg has no types
    """`ctx.db` of one run: an asyncpg pool to use, a view of the shared one inside.

    An `asyncpg.Pool`, so that libraries that ask for one take it. What is not defined here is the shared
    pool's: this instance never runs `Pool.__init__`, so every attribute of the base class is looked up in
    `__getattr__`. All of the base class's queries go through `acquire`.
    """

    __slots__ = ("_checkers", "_shared", "is_over", "run_id", "task")

    def __init__(
        self, checkers: CheckerPool, shared: Pool, task: str, run_id: str, is_over: Callable[[], bool]
    ) -> None:
        self._checkers = checkers
        self._shared = shared
        self.task = task
        self.run_id = run_id
        self.is_over = is_over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared, name)

    def acquire(self, *, timeout: float | None = None) -> Acquiring:
        """As `asyncpg.Pool.acquire`: to be awaited, or used in `async with`.

        Raises PoolExhaustedError if runs hold every connection for `timeout` seconds, or for
        `database.pools.acquire_timeout`, whichever is less.
        """
        return Acquiring(self._checkers, self, timeout)

    async def release(self, connection: Connection, *, timeout: float | None = None) -> None:
        """As `asyncpg.Pool.release`."""
        await self._checkers.release(connection, timeout)

    async def close(self) -> None:
        """Refused with asyncpg.InterfaceError: the pool is shared by all runs, and the runner's to close."""
        raise asyncpg.InterfaceError(_NOT_YOURS)

    def terminate(self) -> None:
        """Refused, as `close`."""
        raise asyncpg.InterfaceError(_NOT_YOURS)

    async def expire_connections(self) -> None:
        """Refused, as `close`."""
        raise asyncpg.InterfaceError(_NOT_YOURS)

    def set_connect_args(self, dsn: str | None = None, **connect_kwargs: object) -> None:
        """Refused, as `close`."""
        raise asyncpg.InterfaceError(_NOT_YOURS)


class Acquiring:
    """What `acquire` returns: awaitable, and an async context manager that releases."""

    __slots__ = ("_checkers", "_connection", "_db", "_timeout")

    def __init__(self, checkers: CheckerPool, db: RunDatabase, timeout: float | None) -> None:
        self._checkers = checkers
        self._db = db
        self._timeout = timeout
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._checkers.acquire(self._db, self._timeout).__await__()

    async def __aenter__(self) -> Connection:
        if self._connection is not None:
            raise asyncpg.InterfaceError("a connection is already acquired")
        self._connection = await self._checkers.acquire(self._db, self._timeout)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        await self._checkers.release(connection, None)


_NOT_YOURS = (
    "ctx.db is shared by all checkers and closed by the runner: a checker cannot close or change it; "
    "release the connections you acquire"
)
