"""The sets of migrations that a database needs: the core's, and those of packages that its tasks use.

A file `NNNN_name.sql` is additive: a program that does not know it goes on, and may start. A file
`NNNN_name.post.sql` takes something away that an older program needs. `dozor migrate --post` applies it once
no older program works on the database.

A package that keeps tables ships `migrations/NNNN_name.sql` and declares a `MigrationSet` under the entry
point group `dozor.migrations`; the entry point's name is the package's import name:

    [project.entry-points."dozor.migrations"]
    dozor_market = "dozor_market.schema:MIGRATIONS"

The set is needed by a configuration in which the `run:` of any task, enabled or not, is in that package: a
disabled task is enabled by a reload, and the tables must be there by then. Only the entry point is loaded,
never the checkers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import EntryPoint, entry_points

from dozor.config import Config
from dozor.errors import SchemaError
from dozor.language import msg

GROUP = "dozor.migrations"
FORMERLY_CORE = ("0010_market.sql", "0011_auctions.sql", "0013_presales.sql", "0014_deposits.sql")
"""Files that version 0.1 kept among the core's. It recorded them in `dozor.schema_migrations`, and refuses a
database where they are missing there."""

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+(\.post)?\.sql")
_POST = ".post.sql"
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def is_post(name: str) -> bool:
    """Whether the file of this name may only be applied once no older program works on the database. Pure."""
    return name.endswith(_POST)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `name` is the file's name."""

    number: int
    name: str
    sql: str

    @property
    def post(self) -> bool:
        """Does it take away what an older program needs?"""
        return is_post(self.name)

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationSet:
    """Migrations that are numbered and recorded together.

    `schema`: where the tables are, and the table `schema_migrations` with a row for each applied file.
    `package`: import name of the package with the folder `migrations/`.
    `formerly_core`: names of files that version 0.1 applied as part of the core.
    `files`: instead of those in the folder, for tests.
    Raises ValueError for a schema name that would need quoting in SQL.
    """

    schema: str
    package: str
    formerly_core: tuple[str, ...] = ()
    files: tuple[Migration, ...] | None = None

    def __post_init__(self) -> None:
        if not _SCHEMA_NAME.fullmatch(self.schema):
            raise ValueError(f"schema {self.schema!r}: use lower-case letters, digits and _")

    @property
    def is_core(self) -> bool:
        return self.schema == "dozor"

    @property
    def locks(self) -> tuple[int, ...]:
        """Keys of the advisory locks to hold while migrating, in the order they are to be taken.

        A set with files that were the core's also reads and writes the core's records. None is
        `runners.LOCK_KEY`, which a running runner holds (version 0.1 used that one, so it could not migrate
        beside a runner).
        """
        digest = hashlib.sha256(f"{GROUP}:{self.schema}".encode()).digest()
        own = int.from_bytes(digest[:8], "big", signed=True)
        return (*CORE.locks, own) if self.formerly_core else (own,)

    def label(self, name: str) -> str:
        """How messages call a file: "0001_runner.sql" of the core, "market/0010_market.sql" of others."""
        return name if self.is_core else f"{self.schema}/{name}"

    def load(self) -> tuple[Migration, ...]:
        """The files of the installed package, by number. Raises SchemaError for a bad or doubled name."""
        if self.files is not None:
            return self.files
        found: dict[int, Migration] = {}
        for entry in (resources.files(self.package) / "migrations").iterdir():
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


CORE = MigrationSet("dozor", "dozor.storage")
"""What every database has."""
QUEUE = MigrationSet("dozor_queue", "dozor.cluster")
"""The tables of PgQueuer, which a cluster needs (`cluster.enabled`)."""


def sets_for(config: Config) -> tuple[MigrationSet, ...]:
    """The core's, PgQueuer's for a cluster, and those of the packages that tasks of `config` use, by name.

    Raises SchemaError for a declaration that cannot be loaded.
    """
    used = {task.run.partition(":")[0].partition(".")[0] for task in config.tasks}
    cluster = (QUEUE,) if config.cluster.enabled else ()
    return (CORE, *cluster, *(_load(declared) for declared in _declared() if declared.name in used))


def sets_named(schemas: Iterable[str]) -> tuple[MigrationSet, ...]:
    """The declared sets of these schemas. Raises SchemaError for one that no installed package declares."""
    wanted = dict.fromkeys(schemas)
    if not wanted:
        return ()
    known = {found.schema: found for found in (CORE, QUEUE, *map(_load, _declared()))}
    for schema in wanted:
        if schema not in known:
            raise SchemaError(msg("error-no-such-schema", schema=schema, known=", ".join(known)))
    return tuple(known[schema] for schema in wanted)


def _declared() -> list[EntryPoint]:
    """One a package, by name."""
    return sorted({found.name: found for found in entry_points(group=GROUP)}.values(), key=lambda e: e.name)


def _load(declared: EntryPoint) -> MigrationSet:
    try:
        found = declared.load()
    except (ImportError, AttributeError, ValueError) as error:
        raise SchemaError(
            msg("error-migrations-unloadable", package=declared.name, value=declared.value, error=error)
        ) from error
    if not isinstance(found, MigrationSet) or found.is_core:
        raise SchemaError(msg("error-not-migration-set", value=declared.value, package=declared.name))
    return found
