"""A PostgreSQL for one session of pytest, from the extra `embedded`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.pool import connect, disconnect


@contextmanager
def session_server() -> Iterator[str]:
    """DSN of a server in a folder of its own, which is removed. Without fsync: its data are not kept."""
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))  # a short path, as sockets need
    try:
        with start_embedded(folder / "pg") as server:
            _execute(server.dsn, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield server.dsn
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(dsn: str) -> Iterator[str]:
    """DSN of an empty database on the server of `dsn`; dropped at the end, connections or not."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(dsn, f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    finally:
        _execute(dsn, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(dsn: str, *statements: str) -> None:
    async def work() -> None:
        connection = await connect(dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await disconnect(connection)

    with asyncio.Runner() as loop:
        loop.run(work())
