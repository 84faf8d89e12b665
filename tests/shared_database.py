"""One database for many tests, emptied before each of them.

A database of its own costs a test 40 ms of CPU time, for which the server copies some hundred files. Each new
connection costs 5 ms more, since a new process of the server reads the catalogue anew.
"""

from __future__ import annotations

import asyncpg

from dozor.storage.postgres.pool import Connection, connect, disconnect

TABLES_SQL = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'dozor' AND c.relkind = 'r' ORDER BY 1
"""
SEQUENCES_SQL = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'dozor' AND c.relkind = 'S' ORDER BY 1
"""
SCHEMA_SQL = """
SELECT md5(string_agg(format('%s.%s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype), ','
    ORDER BY a.attrelid::regclass::text, a.attnum))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'dozor'
"""
END_SQL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
"""


class SharedDatabase:
    """`empty` it before each test; a test that has left another schema is found by `close`."""

    def __init__(self, dsn: str, connection: Connection, schema: str, emptying: str) -> None:
        self.dsn = dsn
        self._connection = connection
        self._schema = schema
        self._emptying = emptying

    @classmethod
    async def open(cls, dsn: str) -> SharedDatabase:
        """Of a database as its migrations leave it."""
        connection = await connect(dsn)
        tables = [row[0] for row in await connection.fetch(TABLES_SQL)]
        statements = ["SET lock_timeout = '2 s'"]
        for number, table in enumerate(tables):
            statements.append(f"DELETE FROM {table}")
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
                await connection.execute(f"CREATE TEMP TABLE at_first_{number} AS TABLE {table}")
                statements.append(f"INSERT INTO {table} SELECT * FROM at_first_{number}")
        sequences = await connection.fetch(SEQUENCES_SQL)
        statements += [f"SELECT setval('{row[0]}', 1, false)" for row in sequences]
        return cls(dsn, connection, await connection.fetchval(SCHEMA_SQL), ";\n".join(statements))

    async def empty(self) -> None:
        """As the migrations left it, numbers of rows included.

        A session that a failed test has left in a transaction is ended, so that only that test fails.
        """
        try:
            await self._connection.execute(self._emptying)
        except asyncpg.LockNotAvailableError:
            await self._connection.execute(END_SQL)
            await self._connection.execute(self._emptying)

    async def close(self) -> None:
        schema = await self._connection.fetchval(SCHEMA_SQL)
        await disconnect(self._connection)
        assert schema == self._schema, "a test has changed the schema of the database that it shares"
