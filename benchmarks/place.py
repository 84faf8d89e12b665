"""Where benchmarks of the checkers run: an embedded server in a folder of its own, gone afterwards."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE
from dozor.storage.postgres.pool import Pool, connect, create_pool
from dozor_market.schema import MIGRATIONS


class Place:
    """Databases on one server. `dsn` names its database `postgres`."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def at(self, name: str) -> str:
        """DSN of the database `name`."""
        return self.dsn.replace("/postgres?", f"/{name}?")

    async def create(self, name: str) -> None:
        """A migrated database, the marketplace's tables included."""
        await self._run(f"CREATE DATABASE {name}")
        await migrate(self.at(name), (CORE, MIGRATIONS))

    async def clone(self, source: str, name: str) -> None:
        """A copy of a database that nobody is connected to, written out to disk before anything is timed."""
        await self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await self._run(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        await self._run("CHECKPOINT")

    async def drop(self, name: str) -> None:
        await self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @asynccontextmanager
    async def pool(self, name: str) -> AsyncIterator[Pool]:
        """A pool whose statements may take as long as they take."""
        pool = await create_pool(self.at(name), max_size=4, command_timeout=None)
        try:
            yield pool
        finally:
            await pool.close()

    async def _run(self, statement: str) -> None:
        connection = await connect(self.dsn, command_timeout=None)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


SERVER: Final = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
"""As on a small server of its own: the embedded one's 128 MB and 256 MB are for a laptop, and there
checkpoints are what is measured. fsync stays on. Every contestant has the same server."""


@asynccontextmanager
async def benchmark_place(*, embedded: bool = False) -> AsyncIterator[Place]:
    """A server in a temporary folder, with the settings of SERVER; `embedded`: with those it ships with."""
    folder = Path(tempfile.mkdtemp(prefix="dozor-bench-"))
    server = await asyncio.to_thread(start_embedded, folder / "pg")
    try:
        if not embedded:
            connection = await connect(server.dsn)
            for name, value in SERVER.items():
                await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.close()
            await asyncio.to_thread(server.release)
            server = await asyncio.to_thread(start_embedded, folder / "pg")
        yield Place(server.dsn)
    finally:
        await asyncio.to_thread(server.release)
        shutil.rmtree(folder, ignore_errors=True)
