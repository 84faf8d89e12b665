"""The error of each wrong setting of a connection, and of each refusal of a server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dozor.config import DatabaseConfig
from dozor.errors import DatabaseUnavailableError, StorageError
from dozor.storage.postgres import database as databases
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.pool import connect, connect_error_text, unavailable


def _verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "as OpenSSL says"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"), "only reads"),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "statement_timeout"),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), "lock_timeout"),
        (asyncpg.TooManyConnectionsError("too many clients"), "no free connection"),
        (_verification(62), "another host name"),
        (_verification(10), "has expired"),
        (_verification(18), "not trusted"),
        (ssl.SSLError(1, "tlsv1 alert unknown ca"), "sslcert="),
        (ConnectionError('PostgreSQL server at "h:1" rejected SSL upgrade'), "does not offer TLS"),
        # Of a connection whose server was killed: nothing is wrong with the address.
        (asyncpg.InterfaceError("connection is closed"), "connection broke"),
        (asyncpg.InternalClientError("got result for unknown protocol state 3"), "connection broke"),
        (asyncpg.ClientConfigurationError("invalid DSN"), "database.url"),
        (OSError(24, "Too many open files"), "out of file descriptors: "),
        (OSError(23, "Too many open files in system"), "whole system"),
        (OSError(12, "Cannot allocate memory"), "out of memory"),
    ],
)
def test_each_refusal_has_its_sentence(error: Exception, words: str) -> None:
    assert words in connect_error_text(error)


@pytest.mark.parametrize(
    "parameters", ["sslmode=verify-all", "sslmode=verify-full&sslrootcert=/nowhere/ca.crt"]
)
async def test_a_wrong_tls_setting_is_named(parameters: str) -> None:
    with pytest.raises(StorageError, match=r"value of sslmode|sslrootcert=/nowhere/ca\.crt") as caught:
        await connect(f"postgresql://u:pw@127.0.0.1:1/x?{parameters}")
    assert not unavailable(caught.value)
    assert "pw@" not in str(caught.value)


async def test_verify_full_without_a_ca_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(StorageError, match="sslrootcert="):
        await connect("postgresql://u@127.0.0.1:1/x?sslmode=verify-full")


async def test_a_server_that_does_not_offer_tls_is_named(database: str) -> None:
    # A server on a socket never speaks TLS: asked for it over TCP it would refuse in the same words.
    error: Any = ConnectionError('PostgreSQL server at "h:1" rejected SSL upgrade')
    assert not unavailable(error)


async def test_a_read_only_server_is_waited_for_and_named(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(database)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    config = DatabaseConfig.model_validate({"url": database})
    monkeypatch.setattr(databases, "PATIENCE", 0.6)
    with pytest.raises(DatabaseUnavailableError, match="only reads"):
        await Database.open(config)
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await connection.close()
    opened = await Database.open(config)
    await opened.close()
