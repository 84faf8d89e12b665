"""Transactions that only the present leader of a cluster can make.

Each opens with BEGIN, time limits and `dozor.fence` in one message, so a process that is stopped at any
moment holds at most a transaction that the server ends by itself. `dozor.fence` locks the lease FOR KEY
SHARE: until the transaction ends nobody takes the lease, and renewals pass.

A connection of `fenced_connection(term, limit)` opens every transaction so, and puts each writing statement
that is outside of a transaction into one. Statements that only read are not changed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg

from dozor.errors import SupersededError
from dozor.language import msg

SUPERSEDED = "DZ001"
"""SQLSTATE that `dozor.fence` raises."""

# The numbers and the uuid are filled in as literals: the whole text is one message of the simple protocol.
# transaction_timeout, of PostgreSQL 17 and newer: without a cache asyncpg prepares a statement with Flush in
# place of Sync, and a session whose client is cut off before the statement is executed counts as active and
# waits for ever: none of the other three limits applies.
LIMITS = """; SET LOCAL statement_timeout = {limit};
SET LOCAL lock_timeout = {limit};
SET LOCAL idle_in_transaction_session_timeout = {limit};
SELECT set_config('transaction_timeout', '{whole}', true)
WHERE current_setting('server_version_num')::int >= 170000"""
OPEN = (
    LIMITS
    + """;
SELECT dozor.fence({epoch}, '{holder}')"""
)

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """One period of leadership. `holder`: random, of one process; `epoch`: its row in `dozor.runners`."""

    epoch: int
    holder: UUID


def opening(term: Term, limit: float) -> str:
    """What follows BEGIN in a fenced transaction.

    `limit`: seconds for a statement, a lock and idling; twice that for the whole.
    """
    return limits(limit, OPEN, epoch=int(term.epoch), holder=term.holder)


def limits(limit: float, text: str = LIMITS, **fields: object) -> str:
    """What follows BEGIN in a transaction with time limits, as in `opening`."""
    return text.format(limit=int(limit * 1000), whole=int(limit * 2000), **fields)


def superseded(error: BaseException) -> bool:
    """Whether the error means that another replica leads by now."""
    return isinstance(error, SupersededError) or (
        isinstance(error, asyncpg.PostgresError) and getattr(error, "sqlstate", None) == SUPERSEDED
    )


@dataclass(frozen=True, slots=True)
class Fence:
    """What the leader's connections are made with. `limit`: see `opening`."""

    term: Term
    limit: float

    @property
    def connection(self) -> type[asyncpg.Connection]:
        """The class of the leader's connections."""
        return fenced_connection(self.term, self.limit)


def kind_of_connection(fence: Fence | None) -> type[asyncpg.Connection]:
    """For `connect` and `create_pool`; without a cluster (None) asyncpg's own."""
    return asyncpg.Connection if fence is None else fence.connection


@asynccontextmanager
async def fenced(connection: Any, term: Term, limit: float) -> AsyncIterator[None]:
    """A fenced transaction on an ordinary connection that is in none; committed at the end of the block.

    Raises SupersededError if another replica leads, and leaves the connection usable. `limit`: see `opening`.
    Inside it `connection.transaction()` cannot be used (asyncpg allows it in its own transactions only).
    """
    try:
        await connection.execute("BEGIN" + opening(term, limit))
    except asyncpg.PostgresError as error:
        await connection.execute("ROLLBACK")
        if superseded(error):
            raise SupersededError(msg("error-superseded", epoch=term.epoch)) from None
        raise
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


@lru_cache(maxsize=1024)
def _writes(statement: str) -> bool:
    return _WRITES.search(statement) is not None


def fenced_connection(term: Term, limit: float) -> type[asyncpg.Connection]:
    """The class of connections on which only `term` writes; for `connection_class` of asyncpg.

    `limit`: see `opening`. A refused transaction raises SupersededError.
    """
    begin = opening(term, limit)

    class FencedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        """asyncpg's transactions begin with `execute("BEGIN…;")`, which gets the fence here."""

        __slots__ = ()

        async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
            if query.startswith("BEGIN") and "READ ONLY" not in query:
                return await self._open(query.rstrip(";"), timeout)
            if self._alone(query):
                async with self.transaction():
                    return str(await super().execute(query, *args, timeout=timeout))
            return str(await super().execute(query, *args, timeout=timeout))

        async def executemany(
            self, command: str, args: Iterable[Any], *, timeout: float | None = None
        ) -> None:
            if self._alone(command):
                async with self.transaction():
                    await super().executemany(command, args, timeout=timeout)
                return
            await super().executemany(command, args, timeout=timeout)

        async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
            if self._alone(query):
                async with self.transaction():
                    return await super().fetch(query, *args, **options)
            return await super().fetch(query, *args, **options)

        async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
            if self._alone(query):
                async with self.transaction():
                    return await super().fetchrow(query, *args, **options)
            return await super().fetchrow(query, *args, **options)

        async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
            if self._alone(query):
                async with self.transaction():
                    return await super().fetchval(query, *args, **options)
            return await super().fetchval(query, *args, **options)

        def _alone(self, query: str) -> bool:
            return not self.is_in_transaction() and _writes(query)

        async def _open(self, query: str, timeout: float | None) -> str:
            try:
                return str(await super().execute(query + begin, timeout=timeout))
            except asyncpg.PostgresError as error:
                if not self.is_closed():
                    await super().execute("ROLLBACK")
                    # asyncpg takes the failed transaction for an open one until the connection is reset.
                    self._top_xact = None  # type: ignore[misc]  # a slot of the untyped base
                if superseded(error):
                    raise SupersededError(msg("error-superseded", epoch=term.epoch)) from None
                raise

    return FencedConnection


@lru_cache(maxsize=16)
def limited_connection(limit: float) -> type[asyncpg.Connection]:
    """The class of connections whose transactions have time limits and no fence. `limit`: see `opening`.

    A process that is stopped or cut off in the middle of one holds its locks no longer than that.
    """
    begin = limits(limit)

    class LimitedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        """asyncpg's transactions begin with `execute("BEGIN…;")`."""

        __slots__ = ()

        async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
            if query.startswith("BEGIN"):
                query = query.rstrip(";") + begin
            return str(await super().execute(query, *args, timeout=timeout))

    return LimitedConnection
