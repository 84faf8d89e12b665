"""Applies numbered SQL files: each once, in one transaction together with its row.

Files of a set (`migration_sets.MigrationSet`) are applied in the order of their numbers; gaps are fine. A
file is never edited once released: its checksum is kept. Several programs may migrate at once: one works, the
others wait and find it done. The locks belong to the transaction, so a pgbouncer may be in between.

Files that an older program cannot bear (`Migration.post`) are applied on request only, and refused while such
a program works on the database; where no file of their set is applied yet, they are applied like others. A
program starts on a database with files that it does not know, unless one of them is of that kind.

Where an applied file is recorded:

- `<schema>.schema_migrations` of its set;
- core files after 0016 in `dozor.schema_additions` instead. Version 0.1 refuses a database with a row that it
  does not know in `dozor.schema_migrations`, and it has to go on, and may be started again, on a database
  that a later version has migrated;
- files that version 0.1 had in the core (`FORMERLY_CORE`) also in `dozor.schema_migrations`, for the same
  reason. The core's comparison leaves these rows out.

Taking over from version 0.1: rows of `FORMERLY_CORE` in `dozor.schema_migrations` that the set's own table
lacks are copied there with number, checksum and time unchanged, all in one transaction. Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace

import asyncpg

from dozor.errors import DatabaseUnavailableError, SchemaError, StorageError
from dozor.language import msg
from dozor.storage.postgres.migration_sets import (
    CORE,
    FORMERLY_CORE,
    Migration,
    MigrationSet,
    is_post,
)
from dozor.storage.postgres.pool import Connection, connect, connect_error_text, disconnect, unavailable

LAST_CORE_NUMBER_OF_0_1 = 16

LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = '60s'"
LOCK_SQL = "SELECT pg_advisory_xact_lock($1)"
SCHEMA_EXISTS_SQL = "SELECT to_regnamespace($1) IS NOT NULL"
EXISTS_SQL = "SELECT to_regclass($1) IS NOT NULL"
# {schema} is the set's schema, a plain identifier, and {table} a table in it.
MAKE_SCHEMA_SQL = "CREATE SCHEMA IF NOT EXISTS {schema}"
MAKE_TABLE_SQL = """
CREATE TABLE IF NOT EXISTS {schema}.{table} (
    number      integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,                 -- sha256 of the file
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
APPLIED_SQL = "SELECT number, name, checksum FROM {schema}.{table} ORDER BY number"
RECORD_SQL = """
INSERT INTO {schema}.{table} (number, name, checksum) VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING
"""
TAKE_OVER_SQL = """
INSERT INTO {schema}.{table} (number, name, checksum, applied_at)
SELECT number, name, checksum, applied_at FROM dozor.schema_migrations WHERE name = ANY($1)
ON CONFLICT (number) DO NOTHING
"""

_MIGRATIONS = "schema_migrations"
_ADDITIONS = "schema_additions"


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of a table of applied files."""

    number: int
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class SchemaReport:
    """Files and database compared. Each field holds names of files, in order."""

    pending: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    """Applied, and the file has changed since."""
    newer: tuple[str, ...] = ()
    """Applied by a newer program, and not to be borne by this one."""
    missing: tuple[str, ...] = ()
    """Applied, and no such file among older ones."""
    late: tuple[str, ...] = ()
    """Not applied, though a file with a higher number is."""
    inherited: tuple[str, ...] = ()
    """Applied and recorded by version 0.1 as part of the core, not yet taken over by its set."""
    post: tuple[str, ...] = ()
    """Not applied, and only to be applied once no older program works on the database."""
    ahead: tuple[str, ...] = ()
    """Applied by a newer program, and additive: this one goes on."""

    @property
    def up_to_date(self) -> bool:
        """Has this program all that it needs? `post` may be left."""
        return self.refusal is None and not self.pending and not self.inherited

    @property
    def work(self) -> str:
        """What `migrate` would do: "2 migrations to be applied, 4 to be taken over from version 0.1"."""
        applied, inherited = len(self.pending), len(self.inherited)
        parts = [msg("error-migrations-pending", count=applied)] if applied else []
        parts += [msg("error-migrations-inherited", count=inherited)] if inherited else []
        return ", ".join(parts)

    @property
    def refusal(self) -> str | None:
        """Why neither `migrate` nor `run` may touch this database; None if pending files are all."""
        if self.newer:
            return msg("error-schema-newer", newer=", ".join(self.newer))
        if self.edited:
            return msg("error-migration-edited", edited=", ".join(self.edited))
        if self.missing:
            return msg("error-migration-missing", missing=", ".join(self.missing))
        if self.late:
            return msg("error-migration-late", late=", ".join(self.late))
        return None


@dataclass(frozen=True, slots=True)
class Migrated:
    """What one call of `migrate` did: labels of files, in order."""

    applied: tuple[str, ...] = ()
    taken_over: tuple[str, ...] = ()
    """Recorded by version 0.1 as part of the core, and copied to the table of their set."""


LivingOthers = Callable[[Connection], Awaitable[Sequence[str]]]
"""Names the programs of other versions that work on the database."""


def compare(migrations: Sequence[Migration], applied: Sequence[Applied]) -> SchemaReport:
    """The difference between `applied` rows and files."""
    rows = {row.number: row for row in applied}
    files = {migration.number: migration for migration in migrations}
    last_row = max(rows, default=0)
    last_file = max(files, default=0)
    lacking = [migration for migration in migrations if migration.number not in rows]
    absent = [migration for migration in lacking if not migration.post or not rows]
    unknown = [row for row in applied if row.number not in files]
    beyond = [row.name for row in unknown if row.number > last_file]
    return SchemaReport(
        pending=tuple(m.name for m in absent if m.number > last_row),
        late=tuple(m.name for m in absent if m.number < last_row),
        newer=tuple(name for name in beyond if is_post(name)),
        ahead=tuple(name for name in beyond if not is_post(name)),
        post=tuple(m.name for m in lacking if m not in absent),
        missing=tuple(row.name for row in unknown if row.number < last_file),
        edited=tuple(
            m.name for m in migrations if m.number in rows and rows[m.number].checksum != m.checksum
        ),
    )


async def check(dsn: str, sets: Iterable[MigrationSet] = (CORE,)) -> SchemaReport:
    """Compares `sets` with the database without changing anything. Raises StorageError as `connect`."""
    connection = await connect(dsn, statement_cache=False)
    try:
        async with connection.transaction(readonly=True):
            reports = [await _report(connection, one, one.load()) for one in sets]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _storage_error(msg("error-schema-unreadable"), error) from error
    finally:
        await disconnect(connection)
    # Field by field, sets in their order.
    return SchemaReport(*(sum(field, ()) for field in zip(*map(astuple, reports), strict=True)))


def _nothing() -> None:
    """Nobody wants to know."""


async def migrate(
    dsn: str,
    sets: Iterable[MigrationSet] = (CORE,),
    on_applied: Callable[[], None] = _nothing,
    *,
    post: LivingOthers | None = None,
) -> Migrated:
    """Applies what is pending in each of `sets`, one set after the other; returns what this call did.

    `on_applied` is called after each file. With `post` also what an older program cannot bear, unless `post`
    names one; it is called before anything is applied, and again in the transaction of each such file.
    Raises SchemaError: the schema is newer, edited or lacks a file, a file fails (it is rolled back entirely,
    those before it stay), or another program is in the way. Raises StorageError as `connect`.
    """
    sets = tuple(sets)
    applied: list[str] = []
    taken_over: list[str] = []
    # In a session of its own: the one that migrates would remember that a table is not there, also after it
    # has waited for the lock of a program that makes it.
    before = await check(dsn, sets)
    # Of a set of which nothing is applied yet, `pending` has the `post` files as well.
    allowed = frozenset(filter(is_post, before.pending + (() if post is None else before.post)))
    connection = await connect(dsn, command_timeout=None, statement_cache=False)
    try:
        if post is not None:
            await _nobody_else(connection, post, before.post)
        for migration_set in sets:
            files = migration_set.load()
            taken_over += await _take_over(connection, migration_set, files)
            while (name := await _apply_next(connection, migration_set, files, allowed, post)) is not None:
                applied.append(name)
                on_applied()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _storage_error(msg("error-schema-not-migrated"), error) from error
    finally:
        await disconnect(connection)
    return Migrated(tuple(applied), tuple(taken_over))


async def _take_over(
    connection: Connection, migration_set: MigrationSet, files: Sequence[Migration]
) -> tuple[str, ...]:
    if not migration_set.formerly_core:
        return ()
    async with connection.transaction():
        await _lock(connection, migration_set)
        report = await _report(connection, migration_set, files)
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        if report.inherited:
            await _make_table(connection, migration_set.schema, _MIGRATIONS)
            statement = TAKE_OVER_SQL.format(schema=migration_set.schema, table=_MIGRATIONS)
            await connection.execute(statement, list(migration_set.formerly_core))
        return report.inherited


async def _nobody_else(connection: Connection, others: LivingOthers, files: Sequence[str]) -> None:
    """Raises SchemaError if a program works on the database that cannot bear one of `files`."""
    if files and (living := await others(connection)):
        raise SchemaError(msg("error-migration-too-early", names=", ".join(files), living=", ".join(living)))


async def _apply_next(
    connection: Connection,
    migration_set: MigrationSet,
    files: Sequence[Migration],
    allowed: frozenset[str],
    others: LivingOthers | None,
) -> str | None:
    """`allowed`: labels of the `post` files that may be applied."""
    async with connection.transaction():
        await _lock(connection, migration_set)
        report = await _report(connection, migration_set, files)
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        wanted = {*report.pending, *(allowed & set(report.post))}
        migration = next((file for file in files if migration_set.label(file.name) in wanted), None)
        if migration is None:
            return None
        label = migration_set.label(migration.name)
        if others is not None and label in report.post:
            await _nobody_else(connection, others, [label])
        await _make_table(connection, migration_set.schema, _MIGRATIONS)
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            if unavailable(error) or isinstance(error, asyncpg.InsufficientPrivilegeError):
                raise
            raise SchemaError(_failure_text(migration, error)) from error
        if not connection.is_in_transaction():
            raise SchemaError(msg("error-migration-ended", name=migration.name))
        await _record(connection, migration_set, migration)
        return label


async def _lock(connection: Connection, migration_set: MigrationSet) -> None:
    await connection.execute(LOCK_TIMEOUT_SQL)
    for key in migration_set.locks:
        await connection.execute(LOCK_SQL, key)


async def _make_table(connection: Connection, schema: str, table: str) -> None:
    # CREATE SCHEMA IF NOT EXISTS needs a right on the database even where the schema exists.
    if not await connection.fetchval(SCHEMA_EXISTS_SQL, schema):
        await connection.execute(MAKE_SCHEMA_SQL.format(schema=schema))
    if not await connection.fetchval(EXISTS_SQL, f"{schema}.{table}"):
        await connection.execute(MAKE_TABLE_SQL.format(schema=schema, table=table))


async def _record(connection: Connection, migration_set: MigrationSet, migration: Migration) -> None:
    schema, table = migration_set.schema, _MIGRATIONS
    if migration_set.is_core and migration.number > LAST_CORE_NUMBER_OF_0_1:
        table = _ADDITIONS
        await _make_table(connection, schema, table)
    row = (migration.number, migration.name, migration.checksum)
    await connection.execute(RECORD_SQL.format(schema=schema, table=table), *row)
    for_0_1 = migration.name in migration_set.formerly_core
    if for_0_1 and await connection.fetchval(EXISTS_SQL, f"{CORE.schema}.{_MIGRATIONS}"):
        await connection.execute(RECORD_SQL.format(schema=CORE.schema, table=_MIGRATIONS), *row)


async def _report(
    connection: Connection, migration_set: MigrationSet, files: Sequence[Migration]
) -> SchemaReport:
    """Names in it are labels of the set."""
    recorded = await _read(connection, migration_set.schema, _MIGRATIONS)
    inherited: list[Applied] = []
    if migration_set.is_core:
        recorded = [row for row in recorded if row.name not in FORMERLY_CORE]
        recorded += await _read(connection, CORE.schema, _ADDITIONS)
    elif migration_set.formerly_core:
        numbers = {row.number for row in recorded}
        inherited = [
            row
            for row in await _read(connection, CORE.schema, _MIGRATIONS)
            if row.name in migration_set.formerly_core and row.number not in numbers
        ]
    report = compare(files, [*recorded, *inherited])
    report = replace(report, inherited=tuple(row.name for row in inherited))
    return SchemaReport(*(tuple(map(migration_set.label, names)) for names in astuple(report)))


async def _read(connection: Connection, schema: str, table: str) -> list[Applied]:
    if not await connection.fetchval(EXISTS_SQL, f"{schema}.{table}"):
        return []
    statement = APPLIED_SQL.format(schema=schema, table=table)
    return [Applied(**dict(row)) for row in await connection.fetch(statement)]


def _failure_text(migration: Migration, error: asyncpg.PostgresError) -> str:
    where = migration.name
    if error.position is not None:
        before = migration.sql[: int(error.position) - 1]
        where += f":{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    more = "".join(f"; {said}" for said in (error.detail, error.hint) if said)
    return msg("error-migration-failed", where=where, message=error.message or error, more=more)


def _storage_error(what: str, error: Exception) -> StorageError:
    if isinstance(error, asyncpg.InterfaceError) and unavailable(error):  # the rollback found it closed
        return DatabaseUnavailableError(f"{what}: {msg('error-connection-broke')}")
    if unavailable(error):
        return DatabaseUnavailableError(f"{what}: {connect_error_text(error)}")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StorageError(msg("error-migration-locked", what=what))
    return StorageError(f"{what}: {connect_error_text(error)}")
