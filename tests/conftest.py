"""A real PostgreSQL: one server for each process of a session, a fresh database for each test."""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dozor.language import Language
from dozor.language.process import use_language
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.pool import Pool, create_pool
from tests import programs
from tests.effort import SOAK
from tests.module_state import forget
from tests.preloaded import processes as preloaded
from tests.server import PostgresControl
from tests.shared_database import Reused
from tests.templates import (
    CORE_TEMPLATE,
    EMPTY_TEMPLATE,
    MARKET_TEMPLATE,
    Databases,
    Templates,
    make_folder,
)

# Started in the background (nohup, `&` in a script) we inherit ignored signals, and so would the processes
# that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


collect_ignore = [] if SOAK else ["soak"]
settings.register_profile("usual", max_examples=25)
settings.load_profile("default" if SOAK else "usual")
_TEMPLATES = pytest.StashKey[Templates]()


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    config.stash[_TEMPLATES] = Templates.make() if worker is None else Templates(Path(worker["templates"]))
    preloaded.share(config.stash[_TEMPLATES].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of xdist, in the process that starts the others."""
    node.workerinput["templates"] = str(node.config.stash[_TEMPLATES].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _TEMPLATES in config.stash and not hasattr(config, "workerinput"):
        config.stash[_TEMPLATES].remove()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports without the garbage collector, and makes what they leave invisible to it.

    Each process of the session keeps some 600,000 objects of modules and collected tests: 0.5 s for each full
    collection, which tests with many objects, hypothesis and the end of the session start.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped for want of a program: said in words, not only by a letter."""
    for program, package in programs.missing.items():
        text = f"NOT TESTED for want of {program}: apt-get install {package}, or run .ci/run"
        terminalreporter.write_line(text, yellow=True)


def pytest_sessionfinish() -> None:
    preloaded.close()


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Errors and log lines of a test's own process are English until a runner says otherwise."""
    use_language(Language.EN)
    yield
    use_language(Language.EN)


@pytest.fixture(autouse=True)
def _no_state_of_earlier_tests() -> Iterator[None]:
    """Modules of the product remember nothing of the tests before: see `tests.module_state`."""
    yield
    forget()


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder of this session with a short path, as sockets need."""
    path = Path(tempfile.mkdtemp(prefix="dozor-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def templates(request: pytest.FixtureRequest) -> Templates:
    """Data directories to be copied."""
    return request.config.stash[_TEMPLATES]


@pytest.fixture(scope="session")
def postgres(templates: Templates) -> Iterator[str]:
    """DSN of the server of this process of the session (its database `postgres`)."""
    folder = make_folder()
    templates.copy_of_many(folder / "pg")
    with start_embedded(folder / "pg") as server:
        yield server.dsn
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(postgres: str) -> Iterator[Databases]:
    """Makes databases on `postgres`."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def reused(databases: Databases) -> Iterator[Reused]:
    """Lends one database after another that is emptied in between."""
    reused = Reused(databases, CORE_TEMPLATE)
    yield reused
    reused.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """DSN of a fresh, migrated database, without schema `market`."""
    yield from databases.fresh(CORE_TEMPLATE)


@pytest.fixture
def market_database(databases: Databases) -> Iterator[str]:
    """DSN of a fresh, migrated database with the marketplace's tables."""
    yield from databases.fresh(MARKET_TEMPLATE)


@pytest.fixture
def new_market_database(databases: Databases) -> Callable[[], AbstractContextManager[str]]:
    """As `market_database`, for a test that needs several, one after the other."""
    return partial(contextmanager(databases.fresh), MARKET_TEMPLATE)


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """DSN of a fresh database without a schema."""
    yield from databases.fresh(EMPTY_TEMPLATE)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool on `database`."""
    pool = await create_pool(database, min_size=1, max_size=5)
    yield pool
    pool.terminate()
    await asyncio.sleep(0)  # the transports close on the loop


@pytest.fixture
def postgres_control(templates: Templates, short_dir: Path) -> Iterator[PostgresControl]:
    """A server of the test's own, to be stopped, restarted, killed and frozen. Its database is migrated."""
    path = short_dir / f"own-{uuid.uuid4().hex[:8]}"
    templates.copy_migrated(path)
    control = PostgresControl(path)
    yield control
    control.thaw()
    control.stop()
