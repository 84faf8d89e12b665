"""The schema, in numbered files: each is applied once, in one transaction together with its row.

Files are `migrations/NNNN_name.sql`, in the order of their numbers; gaps are fine. A file is never
edited once released: its checksum is kept. Several programs may migrate at once: one works, the
others wait and find it done. The lock belongs to the transaction, so a pgbouncer may be in between.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import asyncpg

from dozor.errors import DatabaseUnavailableError, SchemaError, StorageError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection, connect, connect_error_text, disconnect, unavailable

_LOCK = 0x646F7A6F72  # "dozor"
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = '60s'"
LOCK_SQL = "SELECT pg_advisory_xact_lock($1)"
MAKE_SCHEMA_SQL = "CREATE SCHEMA IF NOT EXISTS dozor"
MAKE_TABLE_SQL = """
CREATE TABLE IF NOT EXISTS dozor.schema_migrations (
    number      integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,                 -- sha256 of the file
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
EXISTS_SQL = "SELECT to_regclass('dozor.schema_migrations') IS NOT NULL"
APPLIED_SQL = "SELECT number, name, checksum FROM dozor.schema_migrations ORDER BY number"
RECORD_SQL = "INSERT INTO dozor.schema_migrations (number, name, checksum) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `name` is the file's name."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `dozor.schema_migrations`."""

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
    """Applied, and beyond what this program knows: a newer program was here."""
    missing: tuple[str, ...] = ()
    """Applied, and no such file among older ones."""
    late: tuple[str, ...] = ()
    """Not applied, though a file with a higher number is."""

    @property
    def up_to_date(self) -> bool:
        return self == SchemaReport()

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


def load_migrations() -> tuple[Migration, ...]:
    """The files of the installed package, by number. Raises SchemaError for a bad or doubled name."""
    found: dict[int, Migration] = {}
    for entry in (resources.files("dozor.storage") / "migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        matched = _FILE_NAME.fullmatch(entry.name)
        if matched is None:
            raise SchemaError(msg("error-migration-name", name=entry.name))
        number = int(matched[1])
        if number in found:
            raise SchemaError(msg("error-migration-twice", first=found[number].name, second=entry.name))
        text = entry.read_text(encoding="utf-8")  # universal newlines: the checksum is of \n
        found[number] = Migration(number, entry.name, text)
    return tuple(found[number] for number in sorted(found))


def compare(migrations: Sequence[Migration], applied: Sequence[Applied]) -> SchemaReport:
    """What `applied` rows and files say about each other."""
    rows = {row.number: row for row in applied}
    files = {migration.number: migration for migration in migrations}
    last_row = max(rows, default=0)
    last_file = max(files, default=0)
    absent = [migration for migration in migrations if migration.number not in rows]
    unknown = [row for row in applied if row.number not in files]
    return SchemaReport(
        pending=tuple(m.name for m in absent if m.number > last_row),
        late=tuple(m.name for m in absent if m.number < last_row),
        newer=tuple(row.name for row in unknown if row.number > last_file),
        missing=tuple(row.name for row in unknown if row.number < last_file),
        edited=tuple(
            m.name for m in migrations if m.number in rows and rows[m.number].checksum != m.checksum
        ),
    )


async def check(dsn: str, migrations: Sequence[Migration] | None = None) -> SchemaReport:
    """Compares without changing anything. Raises StorageError as `connect`."""
    files = load_migrations() if migrations is None else migrations
    connection = await connect(dsn, statement_cache=False)
    try:
        async with connection.transaction(readonly=True):
            return compare(files, await _read_applied(connection))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _storage_error(msg("error-schema-unreadable"), error) from error
    finally:
        await disconnect(connection)


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Applies what is pending; returns the names of the files applied by this call.

    Raises SchemaError: the schema is newer, edited or lacks a file, or a file fails (it is rolled back
    entirely, those before it stay). Raises StorageError as `connect`.
    """
    files = load_migrations() if migrations is None else migrations
    done: list[str] = []
    connection = await connect(dsn, command_timeout=None, statement_cache=False)
    try:
        while (name := await _apply_next(connection, files)) is not None:
            done.append(name)
        return done
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _storage_error(msg("error-schema-not-migrated"), error) from error
    finally:
        await disconnect(connection)


async def _apply_next(connection: Connection, files: Sequence[Migration]) -> str | None:
    async with connection.transaction():
        await connection.execute(LOCK_TIMEOUT_SQL)
        await connection.execute(LOCK_SQL, _LOCK)
        report = compare(files, await _read_applied(connection))
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        if not report.pending:
            return None
        await connection.execute(MAKE_SCHEMA_SQL)
        await connection.execute(MAKE_TABLE_SQL)
        migration = next(file for file in files if file.name == report.pending[0])
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            if unavailable(error):
                raise
            raise SchemaError(_failure_text(migration, error)) from error
        if not connection.is_in_transaction():
            raise SchemaError(msg("error-migration-ended", name=migration.name))
        await connection.execute(RECORD_SQL, migration.number, migration.name, migration.checksum)
        return migration.name


async def _read_applied(connection: Connection) -> list[Applied]:
    if not await connection.fetchval(EXISTS_SQL):
        return []
    return [Applied(**dict(row)) for row in await connection.fetch(APPLIED_SQL)]


def _failure_text(migration: Migration, error: asyncpg.PostgresError) -> str:
    where = migration.name
    if error.position is not None:
        before = migration.sql[: int(error.position) - 1]
        where += f":{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    more = "".join(f"; {said}" for said in (error.detail, error.hint) if said)
    return msg("error-migration-failed", where=where, message=error.message or error, more=more)


def _storage_error(what: str, error: Exception) -> StorageError:
    if unavailable(error):
        return DatabaseUnavailableError(f"{what}: {connect_error_text(error)}")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StorageError(msg("error-migration-locked", what=what))
    return StorageError(f"{what}: {connect_error_text(error)}")
