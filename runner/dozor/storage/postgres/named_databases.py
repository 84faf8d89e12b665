"""Pools on the user's own databases, by their names under `databases:`; what `ctx.databases` gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from dozor.config.values.fields import nearest
from dozor.errors import StorageError, UnknownDatabaseError
from dozor.language import msg
from dozor.storage.postgres.checker_pool import CheckerPool, RunDatabase
from dozor.storage.postgres.pool import (
    CheckerConnection,
    Connection,
    Pool,
    create_pool,
    named_connect_error,
    of_connecting,
)

if TYPE_CHECKING:  # child processes import this module, and need no configuration
    from dozor.config.sections.databases import NamedDatabase

GOODBYE_SECONDS = 2.0
"""How long the connections of one pool may take to be closed, before they are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """How to reach one database. `dsn` may hold a password. Times in seconds, None: no limit."""

    dsn: str = field(repr=False)
    size: int = 5
    acquire_timeout: float = 30.0
    connect_timeout: float = 10.0
    command_timeout: float | None = 30.0
    statement_cache: bool = True

    @classmethod
    def of(cls, config: NamedDatabase) -> Self:
        return cls(
            dsn=config.url.get_secret_value(),
            size=config.pool_size,
            acquire_timeout=config.acquire_timeout,
            connect_timeout=config.connect_timeout,
            command_timeout=config.command_timeout,
            statement_cache=config.statement_cache,
        )

    def to_frame(self) -> dict[str, Any]:
        """As JSON, for a process of its own."""
        return asdict(self)


class NamedPool(CheckerPool):
    """The pool of one named database. It connects when a connection is first needed."""

    def __init__(self, pool: Pool, name: str, options: DatabaseOptions, now: Callable[[], float]) -> None:
        super().__init__(pool, options.size, options.acquire_timeout, now, label=f'ctx.databases["{name}"]')
        self.name = name
        self._dsn = options.dsn

    @classmethod
    async def open_named(
        cls, name: str, options: DatabaseOptions, now: Callable[[], float], application_name: str
    ) -> NamedPool:
        """No connection is made. Raises StorageError for options that cannot work."""
        pool = await create_pool(
            options.dsn,
            min_size=0,
            max_size=options.size,
            application_name=application_name,
            timeout=options.connect_timeout,
            command_timeout=options.command_timeout,
            statement_cache=options.statement_cache,
            as_asyncpg=True,
            kind=CheckerConnection,
        )
        return cls(pool, name, options, now)

    async def connected(self, timeout: float | None) -> Connection:
        """Raises StorageError that names this database if it cannot be connected to; DatabaseUnavailableError
        among them if trying again makes sense; TimeoutError if `timeout` seconds have passed."""
        try:
            return await super().connected(timeout)
        except Exception as error:
            if not of_connecting(error) or (timeout is not None and isinstance(error, TimeoutError)):
                raise
            raise named_connect_error(self.name, self._dsn, error) from None

    async def close(self) -> None:
        """Takes leave of the server, for at most `GOODBYE_SECONDS`; then connections are cut."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._pool.close()
        except Exception:  # noqa: BLE001 -- whatever keeps them open, they are to be closed now
            self._pool.terminate()


class Databases(Mapping[str, Pool]):
    """`ctx.databases` of one run: the pool of each database by name, each as `ctx.db` is.

    An unknown name raises UnknownDatabaseError, a KeyError.
    """

    def __init__(
        self,
        pools: Mapping[str, NamedPool | StorageError],
        task: str,
        run_id: str,
        is_over: Callable[[], bool],
    ) -> None:
        self._pools = pools
        self._run = (task, run_id, is_over)
        self._views: dict[str, RunDatabase] = {}

    def __getitem__(self, name: str) -> Pool:
        view = self._views.get(name)
        if view is None:
            pool = self._pools.get(name)
            if pool is None:
                raise unknown_database(name, self._pools)
            if isinstance(pool, StorageError):
                raise pool.with_traceback(None)
            view = self._views[name] = pool.for_run(*self._run)
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._pools)

    def __len__(self) -> int:
        return len(self._pools)


def unknown_database(name: object, known: Mapping[str, object]) -> UnknownDatabaseError:
    """The error for a name that is not under `databases:`."""
    names = ", ".join(known) or msg("error-databases-none")
    hint = nearest(name, known) if isinstance(name, str) else ""
    return UnknownDatabaseError(msg("error-unknown-database", name=repr(name), known=names, hint=hint))
