"""`deploy/postgres/roles.sql`: the owner migrates, the runner writes rows, readers read; nobody more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from dozor.clock import SteadyClock
from dozor.storage.journal import Journal
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE
from dozor.storage.postgres.pool import connect
from dozor_market.schema import MIGRATIONS
from tests.server import PostgresControl
from tests.templates import Templates

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"


@pytest.fixture
async def roles(short_dir: Path, templates: Templates) -> AsyncIterator[dict[str, str]]:
    """DSN by role, on a server of its own."""
    templates.copy_plain(short_dir / "roles")
    server = PostgresControl(short_dir / "roles")
    try:
        connection = await connect(server.dsn)
        for _ in range(2):  # it may be run again
            await connection.execute(SCRIPT.read_text())
        await connection.close()
        names = ("owner", "runner", "readonly")
        yield {name: server.dsn.replace("postgres@", f"dozor_{name}@", 1) for name in names}
    finally:
        server.stop()


async def test_each_role_can_do_its_work_and_no_more(roles: dict[str, str]) -> None:
    await migrate(roles["owner"], (CORE, MIGRATIONS))
    journal = await Journal.open(roles["runner"], "0.2.0", SteadyClock())
    runner = journal.connection
    await runner.execute(
        "INSERT INTO dozor.audit (actor, source, action, result) VALUES ('a', 'cli', 'b', 'done')"
    )
    for statement in (
        "CREATE TABLE dozor.extra (n int)",
        "DROP TABLE dozor.audit",
        "ALTER TABLE dozor.audit ADD COLUMN extra int",
        "CREATE TABLE public.extra (n int)",
        "CREATE SCHEMA extra",
        "TRUNCATE dozor.audit",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runner.execute(statement)
    reader = await connect(roles["readonly"])
    assert await reader.fetchval("SELECT count(*) FROM dozor.audit") == 1
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
        await reader.execute("DELETE FROM dozor.audit")
    await reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("DELETE FROM dozor.audit")
    await reader.close()
    await journal.close()
