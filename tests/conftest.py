"""A real PostgreSQL for the tests: one server a session, a fresh database a test."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dozor.language import Language
from dozor.language.process import use_language
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE
from dozor.storage.postgres.pool import Pool, connect, create_pool, disconnect
from dozor_market.schema import MIGRATIONS
from tests import programs
from tests.server import PostgresControl

T = TypeVar("T")

# Started in the background (nohup, `&` in a script) we inherit ignored signals, and so would the processes
# that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped for want of a program: said in words, not only by a letter."""
    for program, package in programs.missing.items():
        text = f"NOT TESTED for want of {program}: apt-get install {package}, or run .ci/run"
        terminalreporter.write_line(text, yellow=True)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Errors and log lines of a test's own process are English until a runner says otherwise."""
    use_language(Language.EN)
    yield
    use_language(Language.EN)


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder of this session with a short path, as sockets need."""
    path = Path(tempfile.mkdtemp(prefix="dozor-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(short_dir: Path) -> Iterator[str]:
    """DSN of the session's server (its database `postgres`). No fsync: nobody needs its data tomorrow."""
    with start_embedded(short_dir / "pg") as server:
        _run(_execute(server.dsn, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
        yield server.dsn


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Name of a migrated database that `database` clones. Nobody may be connected to it."""
    _run(_execute(postgres, "CREATE DATABASE dozor_template"))
    _run(migrate(_with_database(postgres, "dozor_template")))
    return "dozor_template"


@pytest.fixture
def database(postgres: str, template: str) -> Iterator[str]:
    """DSN of a fresh, migrated database, without schema `market`."""
    yield from _fresh_database(postgres, template)


@pytest.fixture(scope="session")
def market_template(postgres: str, template: str) -> str:
    """Name of a migrated database with the marketplace's tables, as `template` otherwise."""
    _run(_execute(postgres, f"CREATE DATABASE dozor_market_template TEMPLATE {template}"))
    _run(migrate(_with_database(postgres, "dozor_market_template"), (CORE, MIGRATIONS)))
    return "dozor_market_template"


@pytest.fixture
def market_database(postgres: str, market_template: str) -> Iterator[str]:
    """DSN of a fresh, migrated database with the marketplace's tables."""
    yield from _fresh_database(postgres, market_template)


@pytest.fixture
def new_market_database(postgres: str, market_template: str) -> Callable[[], AbstractContextManager[str]]:
    """As `market_database`, for a test that needs several, one after the other."""
    return partial(contextmanager(_fresh_database), postgres, market_template)


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """DSN of a fresh database without a schema."""
    yield from _fresh_database(postgres, "template0")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool on `database`."""
    pool = await create_pool(database, min_size=1, max_size=5)
    yield pool
    pool.terminate()
    await asyncio.sleep(0)  # the transports close on the loop


@pytest.fixture
def postgres_control(short_dir: Path) -> Iterator[PostgresControl]:
    """A server of the test's own, to be stopped, restarted, killed and frozen. Its database is migrated."""
    control = PostgresControl(short_dir / f"own-{uuid.uuid4().hex[:8]}")
    _run(_execute(control.dsn, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
    _run(migrate(control.dsn))
    yield control
    control.thaw()
    control.stop()


def _fresh_database(postgres: str, template: str) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    _run(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _with_database(postgres, name)
    _run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


def _with_database(dsn: str, name: str) -> str:
    return dsn.replace("@/postgres?", f"@/{name}?")


async def _execute(dsn: str, *statements: str) -> None:
    connection = await connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await disconnect(connection)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(work)
