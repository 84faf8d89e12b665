"""The databases that are named under `databases:`: whether each can be connected to."""

from __future__ import annotations

import asyncio

from dozor.cli.doctoring.finding import Finding, failed, ok
from dozor.config import Config
from dozor.config.sections.databases import NamedDatabase
from dozor.errors import StorageError
from dozor.language import msg
from dozor.storage.postgres.pool import address, connect_error_text, create_pool, of_connecting

ABOUT = "databases"
LONGEST = 5.0
"""Seconds that a server may take; less if its own `connect_timeout` is shorter."""
PING_SQL = "SELECT 1"


async def check_databases(config: Config) -> list[Finding]:
    """All at once. Those that can be connected to are one finding, those with the same problem another."""
    reasons = await asyncio.gather(*(_reason(one) for one in config.databases.values()))
    well = [name for name, reason in zip(config.databases, reasons, strict=True) if reason is None]
    found = [ok(ABOUT, msg("doctor-databases-well", names=", ".join(well)))] if well else []
    groups: dict[str, list[str]] = {}
    for name, reason in zip(config.databases, reasons, strict=True):
        if reason is not None:
            groups.setdefault(reason, []).append(name)
    for reason, names in groups.items():
        key = f"databases.{names[0]}.url" if len(names) == 1 else "url"
        text = msg(
            "doctor-databases-failed",
            names=", ".join(f"{name} ({_address(config, name)})" for name in names),
            reason=reason.replace("database.url", key),
        )
        found.append(failed(ABOUT, text, msg("doctor-databases-remedy", count=len(names))))
    return found


def _address(config: Config, name: str) -> str:
    return address(config.databases[name].url.get_secret_value(), f"databases.{name}.url")


async def _reason(database: NamedDatabase) -> str | None:
    """Why it cannot be used; None: a statement was answered."""
    limit = min(LONGEST, database.connect_timeout)
    try:
        async with asyncio.timeout(limit):
            pool = await create_pool(
                database.url.get_secret_value(),
                min_size=1,
                max_size=1,
                application_name="dozor doctor",
                timeout=limit,
                command_timeout=limit,
                statement_cache=database.statement_cache,
                as_asyncpg=True,
            )
            try:
                await pool.fetchval(PING_SQL)
            finally:
                pool.terminate()
    except TimeoutError:
        return msg("doctor-databases-silent", seconds=f"{limit:g}")
    except StorageError as error:
        return connect_error_text(error.__cause__ or error)
    except Exception as error:
        if not of_connecting(error):
            raise
        return connect_error_text(error)
    return None
