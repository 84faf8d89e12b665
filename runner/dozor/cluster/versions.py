"""Which programs of other versions work on a database: a `post` migration has to wait for their end."""

from __future__ import annotations

from dozor.cluster.leadership import LEASE_SESSION
from dozor.cluster.replicas import read_replicas
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.storage.tables import runners

REPLICAS_EXIST_SQL = "SELECT to_regclass('dozor.replicas') IS NOT NULL"
RUNNERS_EXIST_SQL = "SELECT to_regclass('dozor.runners') IS NOT NULL"


async def other_versions(connection: Connection, version: str) -> tuple[str, ...]:
    """Processes of a cluster that are present, and a runner without a cluster, of another version than this.

    Each with its name and version. A replica that has missed so many heartbeats that it counts as lost is
    left out.
    """
    found: list[str] = []
    if await connection.fetchval(REPLICAS_EXIST_SQL):
        found += [
            msg("error-other-version", who=row.name, version=row.version)
            for row in await read_replicas(connection)
            if not row.lost and row.version != version
        ]
    if await connection.fetchval(RUNNERS_EXIST_SQL):
        holder = await runners.read_holder(connection, LEASE_SESSION)
        if holder is not None and holder.version != version:
            found.append(msg("error-other-version", who=str(holder), version=holder.version or "?"))
    return tuple(found)
