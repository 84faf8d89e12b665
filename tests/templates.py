"""Data directories that are made once for all processes of a test session, and copied.

The first that needs one makes it, under a lock; the others wait. A directory lies in a folder of the session,
which the process that starts the others makes and removes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from dozor.storage.postgres.embedded.server import EmbeddedServer, start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from dozor.storage.postgres.pool import connect, disconnect
from dozor_market.schema import MIGRATIONS

T = TypeVar("T")

CORE_TEMPLATE = "dozor_template"
MARKET_TEMPLATE = "dozor_market_template"
CLUSTER_TEMPLATE = "dozor_cluster_template"


_MEMORY = Path("/dev/shm")
_NEEDED = 2 * 1024**3
"""Bytes: the databases of four processes of a session, with much to spare."""


def make_folder() -> Path:
    """A new folder for servers whose data nobody needs: in memory, where there is enough of it."""
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED
    return Path(tempfile.mkdtemp(prefix="dozor-", dir=_MEMORY if in_memory else None))


class Templates:
    """`folder`: of the session, with a short path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls) -> Templates:
        """In a new folder; `remove` it."""
        return cls(make_folder())

    @property
    def folder(self) -> Path:
        return self._folder

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def copy_plain(self, to: Path) -> None:
        """As `start_embedded` leaves a new directory: databases without tables."""
        self._copy("plain", lambda server: None, to)

    def copy_migrated(self, to: Path) -> None:
        """Database `postgres` has the tables of the runner. No fsync: nobody needs the data tomorrow."""
        self._copy("migrated", _migrate, to)

    def copy_of_many(self, to: Path) -> None:
        """With the databases that tests clone."""
        self._copy("many", _make_databases, to)

    def _copy(self, name: str, fill: Callable[[EmbeddedServer], None], to: Path) -> None:
        path = self._folder / name
        done = self._folder / f"{name}.done"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                if name != "plain":
                    self.copy_plain(path)
                with start_embedded(path) as server:
                    fill(server)
                done.touch()
        # As cp -a: the owner is kept.
        subprocess.run(["cp", "-a", "--reflink=auto", path, to], check=True)


def _migrate(server: EmbeddedServer) -> None:
    run(execute(server.dsn, "ALTER SYSTEM SET fsync = off"))
    run(migrate(server.dsn))


def _make_databases(server: EmbeddedServer) -> None:
    settings = {
        "fsync": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "128MB",
    }
    run(execute(server.dsn, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items())))
    for name, origin, sets in (
        (CORE_TEMPLATE, "template1", (CORE,)),
        (MARKET_TEMPLATE, CORE_TEMPLATE, (CORE, MIGRATIONS)),
        (CLUSTER_TEMPLATE, CORE_TEMPLATE, (CORE, QUEUE)),
    ):
        run(execute(server.dsn, f"CREATE DATABASE {name} TEMPLATE {origin}"))
        run(migrate(with_database(server.dsn, name), sets))


def fresh_database(postgres: str, template: str) -> Iterator[str]:
    """DSN of a copy of the server's database `template`, dropped afterwards.

    Copied as files: a third of the time of PostgreSQL's default, which logs every page.
    """
    dsn = make_database(postgres, template)
    yield dsn
    drop_database(postgres, dsn)


def make_database(postgres: str, template: str) -> str:
    """DSN of a copy of the server's database `template`."""
    name = f"t_{uuid.uuid4().hex}"
    run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
    return with_database(postgres, name)


def drop_database(postgres: str, dsn: str) -> None:
    """Whatever is connected to it."""
    name = dsn.partition("@/")[2].partition("?")[0]
    run(execute(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def with_database(dsn: str, name: str) -> str:
    """`dsn` of the server's database `postgres` -> DSN of another database."""
    return dsn.replace("@/postgres?", f"@/{name}?")


async def execute(dsn: str, *statements: str) -> None:
    connection = await connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await disconnect(connection)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(work)
