"""The database: its version, how quick it is, what we may do in it, its schema, its clock; and the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config import Config, DatabaseConfig
from dozor.config.places import exposed, state_dir, unwritable
from dozor.config.sections.config import Pooling
from dozor.errors import StorageError
from dozor.language import msg
from dozor.storage.postgres.database import check_own_sessions
from dozor.storage.postgres.migrate import check
from dozor.storage.postgres.migration_sets import CORE, MigrationSet
from dozor.storage.postgres.pool import Connection, connect_error_text, of_database
from dozor.storage.postgres.pooling import session_dsn_of

OLDEST_VERSION = 130000
"""`server_version_num` of the oldest PostgreSQL that is maintained or nearly so."""
OLDEST_OF_SETS = {"market": 150000}
"""Schema of migrations -> the oldest server that takes them: 0010_market.sql has NULLS NOT DISTINCT."""
SLOW_SECONDS = 0.05
SKEW_SECONDS = 2.0
ROUND_TRIPS = 5
DISK_FAILED = 200 * 1024**2
DISK_WARNING = 2 * 1024**3
"""Bytes free."""

SERVER_SQL = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
       pg_is_in_recovery() AS standby, current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync, pg_database_size(current_database()) AS size,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           AS most,
       (SELECT count(*) FROM pg_stat_activity
         WHERE coalesce(backend_type, 'client backend') = 'client backend'
           AND NOT (datname = current_database() AND application_name LIKE 'dozor%')) AS taken
"""
WRITE_SQL = """
INSERT INTO dozor.audit (actor, source, action, result) VALUES ('cli:doctor', 'cli', 'doctor', 'taken back')
"""
ROUND_TRIP_SQL = "SELECT extract(epoch FROM clock_timestamp())::float8"
LACKING_SQL = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'dozor' AND c.relkind = 'r' AND c.relname NOT IN ('schema_migrations', 'schema_additions')
  AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY 1
"""


async def check_server(
    connection: Connection, needed: int, sets: Sequence[MigrationSet] = (CORE,)
) -> list[Finding]:
    """What the server says of itself, and how it answers. `needed`: the most connections a runner takes;
    `sets`: what the configuration needs."""
    server = await connection.fetchrow(SERVER_SQL)
    assert server is not None
    megabytes = server["size"] / 1024**2
    found = []
    outdated = version_finding(server["version"], server["number"], sets)
    if outdated is not None:
        found.append(outdated)
    else:
        found.append(
            ok("version", msg("doctor-postgres", version=server["version"], size=f"{megabytes:.0f}"))
        )
    if server["standby"]:
        found.append(failed("server", msg("doctor-standby"), msg("doctor-standby-remedy")))
    if "off" in (server["fsync"], server["synchronous_commit"]):
        found.append(
            warning(
                "server",
                msg("doctor-fsync"),
                msg("doctor-fsync-remedy"),
            )
        )
    free = server["most"] - server["taken"]  # what a runner of this database holds already is its own
    if free < needed:
        found.append(
            warning(
                "connections",
                msg("doctor-connections", free=free, needed=needed),
                msg("doctor-connections-remedy"),
            )
        )
    else:
        found.append(ok("connections", msg("doctor-connections", free=free, needed=needed)))
    return [*found, *await _round_trips(connection)]


def version_finding(version: str, number: int, sets: Sequence[MigrationSet]) -> Finding | None:
    """What is wrong with a server of this version; None: nothing. `number`: its `server_version_num`."""
    oldest = {one.schema: OLDEST_OF_SETS.get(one.schema, OLDEST_VERSION) for one in sets}
    schema, needed = max(oldest.items(), key=lambda item: item[1], default=("", OLDEST_VERSION))
    if number >= max(needed, OLDEST_VERSION):
        return None
    text = msg("doctor-postgres-old", version=version)
    if number >= OLDEST_VERSION:
        text = msg("doctor-postgres-old-for", version=version, schema=schema)
    return failed("version", text, msg("doctor-postgres-old-remedy", oldest=f"{needed // 10000}"))


async def check_sessions(config: DatabaseConfig) -> list[Finding]:
    """Whether sessions are one's own where LISTEN and the lock need that."""
    dsn = session_dsn_of(config)
    if dsn is None:
        pooled = config.pooling is Pooling.TRANSACTION
        return [ok("sessions", msg("doctor-sessions-polling"))] if pooled else []
    try:
        await check_own_sessions(dsn, direct=config.direct_url is not None)
    except StorageError as error:
        return [failed("sessions", str(error), msg("doctor-as-it-says"))]
    return [ok("sessions", msg("doctor-sessions-own"))]


async def _round_trips(connection: Connection) -> list[Finding]:
    took: list[float] = []
    skews: list[float] = []
    for _ in range(ROUND_TRIPS):
        began, clock = time.perf_counter(), time.time()
        theirs = await connection.fetchval(ROUND_TRIP_SQL)
        took.append(time.perf_counter() - began)
        skews.append(clock + took[-1] / 2 - theirs)
    median, skew = sorted(took)[ROUND_TRIPS // 2], sorted(skews, key=abs)[0]
    text = msg("doctor-round-trip", time=f"{median * 1000:.1f}")
    found = [
        ok("latency", text)
        if median < SLOW_SECONDS
        else warning("latency", text, msg("doctor-latency-remedy"))
    ]
    if abs(skew) > SKEW_SECONDS:
        found.append(
            warning(
                "clock",
                msg("doctor-database-clock", seconds=f"{skew:.1f}"),
                msg("doctor-database-clock-remedy"),
            )
        )
    else:
        found.append(ok("clock", msg("doctor-database-clock-well", time=f"{abs(skew) * 1000:.0f}")))
    return found


async def check_schema(
    dsn: str, connection: Connection, *, embedded: bool, sets: Sequence[MigrationSet] = (CORE,)
) -> list[Finding]:
    """Is it the one this program needs, and may we write to it? `sets`: what the configuration needs."""
    report = await check(dsn, sets)
    if report.refusal is not None:
        return [failed("schema", report.refusal, msg("doctor-as-it-says"))]
    if not report.up_to_date:
        text = report.work
        if embedded:
            return [warning("schema", text, msg("doctor-next-start"))]
        return [failed("schema", text, msg("doctor-migrate"))]
    well = [ok("schema", msg("doctor-up-to-date"))]
    if report.post:
        text = msg("doctor-post-left", names=", ".join(report.post))
        well = [warning("schema", text, msg("doctor-post-left-remedy"))]
    lacking = [row["relname"] for row in await connection.fetch(LACKING_SQL)]
    if lacking:
        return [
            *well,
            failed(
                "privileges",
                msg("doctor-lacks-rights", tables=", ".join(lacking)),
                msg("doctor-grant"),
            ),
        ]
    return [*well, ok("privileges", msg("doctor-rights-well")), await check_writing(connection)]


async def check_writing(connection: Connection) -> Finding:
    """A row is written to the audit as a runner would, in a transaction that is taken back."""
    transaction = connection.transaction()
    try:
        await transaction.start()
        try:
            await connection.execute(WRITE_SQL)
        finally:
            await transaction.rollback()
    except Exception as error:
        if not of_database(error):
            raise
        return failed(
            "privileges",
            msg("doctor-write-failed", reason=connect_error_text(error)),
            msg("doctor-as-it-says"),
        )
    return ok("privileges", msg("doctor-written"))


def check_disk(config: Config) -> list[Finding]:
    """Room for the embedded server; a foreign one's disk cannot be seen from here."""
    if config.database.url is not None:
        return []
    folder = _existing(config.database.data_dir)
    free = shutil.disk_usage(folder).free
    text = msg("doctor-disk", size=f"{free / 1024**3:.1f}", folder=folder)
    if free < DISK_FAILED:
        return [failed("disk", text, msg("doctor-disk-full"))]
    if free < DISK_WARNING:
        return [warning("disk", text, msg("doctor-disk-soon"))]
    return [ok("disk", text)]


def check_files(config: Config) -> list[Finding]:
    """The state directory is writable, and nothing that matters is open to everybody."""
    folder = state_dir(config)
    reason = unwritable(folder)
    if reason is None:
        found = [ok("files", msg("doctor-state-well", path=folder))]
    else:
        text = msg("doctor-state-unwritable", path=folder, reason=reason)
        found = [failed("files", text, msg("doctor-state-remedy"))]
    return [*found, *(warning("files", problem, msg("doctor-as-it-says")) for problem in exposed(config))]


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
