"""The database of a configuration: an embedded server, or an external one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from loguru import logger

from dozor.backoff import Backoff
from dozor.config import DatabaseConfig
from dozor.errors import DatabaseUnavailableError, SchemaError, StorageError
from dozor.language import msg
from dozor.process.threads import in_own_thread
from dozor.storage.postgres.embedded.server import EmbeddedServer, start_embedded
from dozor.storage.postgres.migrate import check, migrate
from dozor.storage.postgres.migration_sets import CORE, MigrationSet
from dozor.storage.postgres.pool import (
    Connection,
    address,
    connect,
    connect_error_text,
    disconnect,
    of_database,
    unavailable,
)
from dozor.storage.postgres.pooling import dsn_of, session_dsn_of, shares_sessions

PATIENCE = 30.0
"""Seconds to wait at the start for a server that is not there yet."""


READ_ONLY_SQL = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"


async def _check_writable(dsn: str) -> None:
    """Raises DatabaseUnavailableError if the server only reads, as during a failover; else as `connect`."""
    connection = await connect(dsn, statement_cache=False)
    try:
        if await connection.fetchval(READ_ONLY_SQL):
            reason = msg("error-read-only-server")
            raise DatabaseUnavailableError(msg("error-postgres-at", address=address(dsn), reason=reason))
    except Exception as error:
        if isinstance(error, StorageError) or not of_database(error):
            raise
        text = msg("error-postgres-at", address=address(dsn), reason=connect_error_text(error))
        raise DatabaseUnavailableError(text) if unavailable(error) else StorageError(text) from error
    finally:
        await disconnect(connection)


async def check_own_sessions(dsn: str, *, direct: bool = False) -> None:
    """Raises StorageError if a pooler at `dsn` shares sessions, else as `connect`.

    `direct`: it is `database.direct_url`.
    """
    opened: list[Connection] = []
    try:
        opened += [await connect(dsn, statement_cache=False) for _ in range(2)]
        shared = await shares_sessions(*opened)
    except Exception as error:
        if isinstance(error, StorageError) or not of_database(error):
            raise
        text = msg("error-postgres-at", address=address(dsn), reason=connect_error_text(error))
        raise DatabaseUnavailableError(text) if unavailable(error) else StorageError(text) from error
    finally:
        for connection in opened:
            await disconnect(connection)
    if shared:
        key = "error-direct-shares-sessions" if direct else "error-pooler-shares-sessions"
        raise StorageError(msg(key, address=address(dsn)))


class Database:
    """`dsn` and `session_dsn` hold a password: never log them."""

    def __init__(self, dsn: str, server: EmbeddedServer | None, session_dsn: str | None = None) -> None:
        self.dsn = dsn
        """For `connect` and `create_pool`; sessions may be shared there."""
        self.session_dsn = dsn if server is not None else session_dsn
        """Where a session is one's own, for LISTEN and the runner's lock; None: no such address is known."""
        self._server = server
        self._reviving: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, config: DatabaseConfig, *, wait: bool = False) -> Database:
        """Start or attach to the embedded server; wait for a foreign one (`wait`: without end).

        Raises StorageError with the remedy.
        """
        if config.url is None:
            server = await _started(config.data_dir)
            return cls(server.dsn, server)
        dsn, session_dsn = str(dsn_of(config)), session_dsn_of(config)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        said = False
        while True:
            try:
                await _check_writable(dsn)
                if session_dsn is not None:
                    await check_own_sessions(session_dsn, direct=session_dsn != dsn)
            except DatabaseUnavailableError as error:
                if not wait and loop.time() > deadline:
                    raise
                if not said:
                    logger.warning(msg("log-waiting-for-it", error=error))
                    said = True
                await asyncio.sleep(0.5)
            else:
                return cls(dsn, None, session_dsn)

    @property
    def embedded(self) -> bool:
        return self._server is not None

    async def prepare(self, sets: Sequence[MigrationSet] = (CORE,)) -> None:
        """Bring an embedded schema up to date; refuse a foreign one that is not, naming the command.

        Raises SchemaError, and StorageError as `connect`.
        """
        report = await check(self.dsn, sets)
        if report.up_to_date:
            return
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        if not self.embedded:
            raise SchemaError(msg("error-schema-behind", work=report.work, command="dozor migrate"))
        done = await migrate(self.dsn, sets)
        for name in done.taken_over:
            logger.info(msg("log-migration-taken-over", name=name))
        for name in done.applied:
            logger.info(msg("log-migrated", name=name))

    def revive(self) -> None:
        """The database is away: if it is ours, see to it that it runs."""
        if self._server is not None and (self._reviving is None or self._reviving.done()):
            self._reviving = asyncio.create_task(self._revive(self._server))

    async def _revive(self, server: EmbeddedServer) -> None:
        backoff = Backoff(1.0, 30.0)
        while True:
            try:
                if await in_own_thread(server.ensure_running):
                    logger.warning(msg("log-embedded-again"))
                return
            except StorageError as error:
                logger.error("{}", error)
            await asyncio.sleep(backoff.next())

    async def close(self) -> None:
        """Let go of the embedded server; the last to do so stops it."""
        if self._reviving is not None:
            self._reviving.cancel()
            with suppress(asyncio.CancelledError):
                await self._reviving
        if self._server is not None:
            await in_own_thread(self._server.release)


async def _started(data_dir: Path) -> EmbeddedServer:
    """Start the embedded server, in a thread, which goes on if this is cancelled: then it is let go of."""
    starting = asyncio.create_task(in_own_thread(start_embedded, data_dir))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if not starting.cancelled() and starting.exception() is None:
            await in_own_thread(starting.result().release)
        raise
