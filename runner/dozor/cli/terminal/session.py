"""A connection for one command: to a foreign server, or to the embedded one, started if it does not run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from dozor.config import Config, load
from dozor.control.queries.status import read_all_names, runner_on_watch
from dozor.errors import CommandRefusedError, SchemaError, StorageError
from dozor.language import msg
from dozor.storage.postgres.migrate import check
from dozor.storage.postgres.migration_sets import CORE, sets_named
from dozor.storage.postgres.pool import Pool, create_pool
from dozor.storage.postgres.pooling import dsn_of

T = TypeVar("T")


class NoDatabaseError(StorageError):
    """No runner has ever made the embedded database."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on a loop of its own."""
    with asyncio.Runner() as runner:
        return runner.run(work)


@asynccontextmanager
async def database(config_path: Path, *schemas: str) -> AsyncIterator[tuple[Config, Pool]]:
    """The configuration and a small pool on its database. Raises StorageError if there is none.

    `schemas`: what the command needs besides the core's, such as "market". Raises SchemaError if one of them
    is not up to date.
    """
    config = load(config_path)
    server = None
    dsn = dsn_of(config.database)
    if dsn is None:
        from dozor.storage.postgres.embedded.server import find_embedded, start_embedded

        data_dir = config.database.data_dir
        server = await asyncio.to_thread(find_embedded, data_dir)
        if server is None:
            if not (data_dir / "data").exists():
                raise NoDatabaseError(msg("cli-no-database", data_dir=data_dir))
            server = await asyncio.to_thread(start_embedded, data_dir)
        dsn = server.dsn
    try:
        report = await check(dsn, (CORE, *sets_named(schemas)))
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        if not report.up_to_date:
            command = " ".join(("dozor migrate", *(f"--schema {name}" for name in schemas)))
            raise SchemaError(msg("error-schema-behind", work=report.work, command=command))
        pool = await create_pool(dsn, min_size=1, max_size=2, application_name="dozor cli")
        try:
            yield config, pool
        finally:
            await pool.close()
    finally:
        if server is not None:
            await asyncio.to_thread(server.release)


@asynccontextmanager
async def runner_at_work(config_path: Path) -> AsyncIterator[tuple[Config, Pool]]:
    """As `database`, for commands that a runner carries out.

    Raises CommandRefusedError at once if no runner is running. An embedded server that does not run is not
    started to find that out: a runner would hold it.
    """
    config = load(config_path)
    if config.database.url is None:
        from dozor.storage.postgres.embedded.server import find_embedded

        server = await asyncio.to_thread(find_embedded, config.database.data_dir)
        if server is None:
            raise CommandRefusedError(msg("cli-nobody-on-watch"))
        await asyncio.to_thread(server.release)
    async with database(config_path) as (config, pool):
        async with pool.acquire() as connection:
            if not await runner_on_watch(connection):
                raise CommandRefusedError(msg("cli-nobody-on-watch"))
        yield config, pool


async def known_names(config: Config, pool: Pool) -> list[str]:
    """Of the configuration's tasks, disabled ones too, then of those that the database remembers."""
    names = [task.name for task in config.tasks]
    async with pool.acquire() as connection:
        return list(dict.fromkeys([*names, *await read_all_names(connection)]))
