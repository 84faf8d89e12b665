"""Databases that one test after the other uses, emptied in between: a third of the cost of a copy for each.

For tests that leave nothing running which might connect later: a process of theirs would meet the next test.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from dozor.storage.postgres.pool import connect
from tests.templates import drop_database, make_database

T = TypeVar("T")

_GROWN = 4_000_000
"""Bytes: a database with so many more is dropped, for the next test is to have no large tables."""

_TABLES_SQL = """
SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1
"""
_SEQUENCES_SQL = """
SELECT format('%I.%I', schemaname, sequencename) AS name, start_value, last_value FROM pg_sequences
"""
_CATALOGS = (
    "class",
    "attribute",
    "attrdef",
    "constraint",
    "index",
    "trigger",
    "proc",
    "type",
    "namespace",
    "extension",
    "policy",
    "default_acl",
    "db_role_setting",
)
_STATE_SQL = f"""
SELECT
    coalesce((
        SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    ), true),
    array[{", ".join(f"(SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_{n})" for n in _CATALOGS)}],
    pg_database_size(current_database())
"""
"""Ends the other sessions; what a test changes beside rows: every change in a catalog is a row's new xmin."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A database and what its template has made of it. `filled`: tables with rows, as COPY writes them."""

    dsn: str
    connection: Any
    """Of the lender's own: its statements are prepared once."""
    schema: Sequence[str]
    with_rows: str
    """The statement that finds the tables with rows."""
    filled: Mapping[str, bytes]
    sequences: Mapping[str, int | None]
    """The last value of each; None: not used yet."""
    size: int


class Lender:
    """Databases of one server, copies of `template`, each used by one test at a time. `close` it."""

    def __init__(self, postgres: str, template: str) -> None:
        self._postgres, self._template = postgres, template
        self._free: list[_Kept] = []
        self._loop = asyncio.new_event_loop()

    def lend(self) -> Iterator[str]:
        """DSN of a database as `template` is.

        It is emptied afterwards; dropped, if the test has changed more than rows and sequences.
        """
        kept = (
            self._free.pop()
            if self._free
            else self._run(_look(make_database(self._postgres, self._template)))
        )
        yield kept.dsn
        if self._run(_is_emptied(kept)):
            self._free.append(kept)
        else:
            kept.connection.terminate()
            drop_database(self._postgres, kept.dsn)

    def close(self) -> None:
        """The databases stay: they end with their server."""
        for kept in self._free:
            kept.connection.terminate()
        self._run(asyncio.sleep(0))  # the transports close on the loop
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


async def _look(dsn: str) -> _Kept:
    connection = await connect(dsn)
    await connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
    tables = [row[0] for row in await connection.fetch(_TABLES_SQL)]
    with_rows = " UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in tables)
    filled = [row[0] for row in await connection.fetch(with_rows)]
    _, schema, size = await connection.fetchrow(_STATE_SQL)
    return _Kept(
        dsn=dsn,
        connection=connection,
        schema=schema,
        with_rows=with_rows,
        filled={name: await _copied(connection, name) for name in filled},
        sequences={name: last for name, _, last in await connection.fetch(_SEQUENCES_SQL)},
        size=size,
    )


async def _is_emptied(kept: _Kept) -> bool:
    """Whether the database is again as its template has made it."""
    try:
        return await _empty(kept)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def _empty(kept: _Kept) -> bool:
    connection = kept.connection
    ended, schema, size = await connection.fetchrow(_STATE_SQL)
    if not ended or schema != kept.schema or size > kept.size + _GROWN:
        return False
    statements, restored = [], []
    with_rows = {row[0] for row in await connection.fetch(kept.with_rows)}
    for name in kept.filled.keys() | with_rows:
        if name not in kept.filled:
            statements.append(f"DELETE FROM {name}")
        elif name not in with_rows or await _copied(connection, name) != kept.filled[name]:
            statements.append(f"DELETE FROM {name}")
            restored.append(name)
    for name, start, last in await connection.fetch(_SEQUENCES_SQL):
        if last != (first := kept.sequences[name]):
            called = first is not None
            statements.append(f"SELECT setval('{name}', {first if called else start}, {called})")
    if statements:
        await connection.execute("; ".join(statements))
    for name in restored:
        of, _, table = name.partition(".")
        rows = io.BytesIO(kept.filled[name])
        await connection.copy_to_table(table, schema_name=of, source=rows, format="binary")
    return True


async def _copied(connection: Any, name: str) -> bytes:
    rows = io.BytesIO()
    await connection.copy_from_query(f"SELECT * FROM {name}", output=rows, format="binary")
    return rows.getvalue()
