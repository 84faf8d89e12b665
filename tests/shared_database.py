"""A database for many tests, one after the other: emptied before each, until one changes more than rows.

A database of its own costs a test 40 ms of CPU time, for which the server copies some hundred files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from dozor.storage.postgres.pool import Connection, connect, disconnect
from tests.templates import Databases

TABLES_SQL = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('dozor', 'market', 'dozor_queue') AND c.relkind = 'r' ORDER BY 1
"""
SEQUENCES_SQL = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('dozor', 'market', 'dozor_queue') AND c.relkind = 'S' ORDER BY 1
"""
# A change of a row of the catalogue gives it another xmin; ANALYZE and VACUUM change rows in place.
STRUCTURE_SQL = """
SELECT (SELECT count(*) || ' ' || sum(oid::int8 * 31 + xmin::text::int8) FROM pg_class
        WHERE oid >= 16384 AND relpersistence <> 't' AND relname !~ '^pg_(temp|toast_temp)')
    || (SELECT ' ' || count(*) || ' ' || sum(a.xmin::text::int8) FROM pg_attribute a JOIN pg_class c
            ON c.oid = a.attrelid WHERE attrelid >= 16384 AND relpersistence <> 't')
    || (SELECT ' ' || count(*) || ' ' || coalesce(sum(xmin::text::int8), 0) FROM pg_trigger)
    || (SELECT ' ' || count(*) || ' ' || sum(xmin::text::int8) FROM pg_proc WHERE oid >= 16384)
    || (SELECT ' ' || count(*) || ' ' || sum(xmin::text::int8) FROM pg_namespace WHERE nspname !~ 'temp_')
    || (SELECT ' ' || count(*) || ' ' || sum(xmin::text::int8) FROM pg_constraint)
    || (SELECT ' ' || count(*) || ' ' || coalesce(sum(xmin::text::int8), 0) FROM pg_db_role_setting)
    || (SELECT ' ' || count(*) || ' ' || coalesce(sum(xmin::text::int8), 0) FROM pg_largeobject_metadata)
"""
OTHERS_SQL = """
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
STUCK_SQL = OTHERS_SQL + "AND state LIKE 'idle in transaction%'"
VACUUM_EVERY = 50
"""Tests after which the rows that those before have left are removed from the files."""


class SharedDatabase:
    """`empty` it before each test."""

    def __init__(
        self, dsn: str, connection: Connection, structure: str, tables: list[str], emptying: str
    ) -> None:
        self.dsn = dsn
        self._connection = connection
        self._structure = structure
        self._tables = tables
        self._emptying = emptying
        self._emptied = 0

    @classmethod
    async def open(cls, dsn: str) -> SharedDatabase:
        """Of a database as its migrations leave it."""
        connection = await connect(dsn)
        # Neither triggers nor foreign keys: what the tables hold at first agrees already.
        await connection.execute("SET lock_timeout = '2 s'; SET session_replication_role = replica")
        statements = []
        tables = [table for (table,) in await connection.fetch(TABLES_SQL)]
        for number, table in enumerate(tables):
            statements.append(f"DELETE FROM {table}")
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
                await connection.execute(f"CREATE TEMP TABLE at_first_{number} AS TABLE {table}")
                statements.append(
                    f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM at_first_{number}"
                )
        for (sequence,) in await connection.fetch(SEQUENCES_SQL):
            last, called = await connection.fetchrow(f"SELECT last_value, is_called FROM {sequence}")
            statements.append(f"SELECT setval('{sequence}', {last}, {called})")
        structure = await connection.fetchval(STRUCTURE_SQL)
        return cls(dsn, connection, structure, tables, ";\n".join(statements))

    async def empty(self) -> None:
        """As the migrations left it, numbers of rows included.

        A session that a failed test has left in a transaction is ended, so that only that test fails.
        """
        try:
            await self._connection.execute(self._emptying)
        except asyncpg.LockNotAvailableError:
            await self._connection.execute(STUCK_SQL)
            await self._connection.execute(self._emptying)
        self._emptied += 1
        if self._emptied % VACUUM_EVERY == 0:
            await self._connection.execute(f"VACUUM {', '.join(self._tables)}")

    async def unchanged(self) -> bool:
        """Has no test changed more than rows?"""
        return bool(self._structure == await self._connection.fetchval(STRUCTURE_SQL))

    async def end_others(self) -> None:
        """Every other session is ended. Returns when its locks are released."""
        await self._connection.execute(OTHERS_SQL)

    async def close(self) -> None:
        await disconnect(self._connection)


class Reused:
    """Gives tests copies of the server's database `template`: the same one, as long as it can be emptied."""

    def __init__(self, databases: Databases, template: str) -> None:
        self._databases, self._template = databases, template
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # leaves the current loop alone
        self._database: SharedDatabase | None = None
        self._copy: Iterator[str] | None = None

    @contextmanager
    def one(self) -> Iterator[str]:
        """DSN of a database as its migrations leave it, for one test."""
        if self._database is None:
            self._copy = self._databases.fresh(self._template)
            self._database = self._runner.run(SharedDatabase.open(next(self._copy)))
        else:
            self._runner.run(self._database.empty())
        try:
            yield self._database.dsn
        finally:
            try:
                self._runner.run(self._database.end_others())
                usable = self._runner.run(self._database.unchanged())
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
            ):  # the test has ended all sessions
                usable = False
            if not usable:
                self._drop()

    def close(self) -> None:
        self._drop()
        self._runner.close()

    def _drop(self) -> None:
        if self._database is not None:
            self._runner.run(self._database.close())
        for _ in self._copy or ():
            raise AssertionError("it gives one database")
        self._database = self._copy = None
