"""A database as version 0.1 made it, and what version 0.1 thinks of a database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from dozor.storage.postgres.migrate import Applied, SchemaReport, compare
from dozor.storage.postgres.migration_sets import CORE, Migration
from dozor.storage.postgres.pool import Connection, connect, disconnect
from dozor_market.schema import MIGRATIONS

CHECKSUMS = {
    "0001_runner.sql": "ba42b30ad70618fca106f9d114d63e8f814e8bc334768e696e744655fecebf23",
    "0002_alerting.sql": "d25a0c425e576ae54e7ca36583a760ad90a4334fc05807d33829f7f4b238ef39",
    "0003_telegram.sql": "a99d2f6b66d2b252f33fe68b0db624117d8726f7188a17d1c4a99007ffef449b",
    "0010_market.sql": "2d13872beaa79cc6d61490c1a9e95c6de2c39d3b269932b596faafafaa562f0d",
    "0011_auctions.sql": "1e4624a146b22eb2c1b0071f0e6361be990ab21a8ef5dd21db57e348a0355ea4",
    "0012_toolkit.sql": "8ac897bac1daca31005028a8a45e15062b3f37a38458d72bb01f1f1f64f0e7ad",
    "0013_presales.sql": "d63234af64da87dc24dcecf7f928fb12eb50eee4ea4892fdcce9dac3daf306a6",
    "0014_deposits.sql": "f3fe0063faa060fe78d37080097b95035c926da53b1880a3d04d673af045daed",
    "0015_pace.sql": "2599ddfa72e3c03d9b183a08746c0e602ca0b4c9fb465ed4504c510400722e77",
    "0016_people.sql": "d42930c47aacb29e32d7822304c58b23a45aeaba81de9b4f0ad632f91a878131",
}
"""The files of version 0.1, as it recorded them."""
DATA = Path(__file__).with_name("version_0_1.sql")
DUMPED_AT = "2026-11-27 22:27:22+00"
MAKE_TABLE = """
CREATE SCHEMA dozor;
CREATE TABLE dozor.schema_migrations (
    number      integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,                 -- sha256 of the file
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
COLUMNS_WITH_TIME = """
SELECT table_schema, table_name, column_name FROM information_schema.columns JOIN information_schema.tables
       USING (table_schema, table_name)
WHERE table_schema IN ('dozor', 'market') AND table_type = 'BASE TABLE'
  AND data_type = 'timestamp with time zone' AND table_name <> 'schema_migrations'
"""


def files() -> tuple[Migration, ...]:
    """The files of version 0.1, which this version has in two places, by number."""
    found = (*CORE.load(), *MIGRATIONS.load())
    return tuple(sorted((one for one in found if one.name in CHECKSUMS), key=lambda one: one.number))


async def build(dsn: str, *, last: int = 16) -> None:
    """What `dozor migrate` of version 0.1 did to an empty database, up to the file of number `last`."""
    connection = await connect(dsn, statement_cache=False)
    try:
        await connection.execute(MAKE_TABLE)
        for file in files():
            if file.number <= last:
                async with connection.transaction():
                    await connection.execute(file.sql)
                    await connection.execute(
                        "INSERT INTO dozor.schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                        file.number,
                        file.name,
                        CHECKSUMS[file.name],
                    )
    finally:
        await disconnect(connection)


async def fill(dsn: str, *, ago: timedelta = timedelta()) -> None:
    """Put the rows of `DATA` into a database of `build`, as if version 0.1 had been killed so long ago."""
    connection = await connect(dsn, statement_cache=False)
    try:
        async with connection.transaction():
            # Balances are in the data already: no triggers.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("TRUNCATE market.currencies, market.accounts CASCADE")
            await connection.execute(DATA.read_text())
            for schema, table, column in await connection.fetch(COLUMNS_WITH_TIME):
                later = f"{column} + (now() - '{DUMPED_AT}'::timestamptz - $1)"
                await connection.execute(f"UPDATE {schema}.{table} SET {column} = {later}", ago)
    finally:
        await disconnect(connection)


async def judged(connection: Connection) -> SchemaReport:
    """What version 0.1 says of this database: it migrates and runs only where this is `SchemaReport()`."""
    rows = await connection.fetch("SELECT number, name, checksum FROM dozor.schema_migrations")
    return compare(files(), [Applied(**dict(row)) for row in rows])
