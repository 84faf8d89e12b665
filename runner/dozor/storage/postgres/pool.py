"""Connections to PostgreSQL, and the classification of their errors: temporary, or in need of a person."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

from dozor.clean_context import CleanContext
from dozor.errors import (
    DatabaseUnavailableError,
    OutOfResourcesError,
    PoolExhaustedError,
    StorageError,
    out_of_resources,
)
from dozor.language import msg
from dozor.process.descriptors import RESERVE, describe
from dozor.process.forking import own
from dozor.storage.postgres.pooling import unmarked, without_session_state

Pool: TypeAlias = asyncpg.Pool
Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Row: TypeAlias = asyncpg.Record

CONNECT_TIMEOUT = 10.0
"""Seconds until a server that does not answer counts as away."""
COMMAND_TIMEOUT = 30.0
"""Seconds a statement may take before it fails with TimeoutError."""
_SCHEMES = ("postgresql://", "postgres://")


class CheckerConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Of a pool that checkers share. `has_codecs`: a codec was set on it, which would decode for others."""

    __slots__ = ("has_codecs",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_codecs = False

    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_codecs = True
        await super().set_type_codec(*args, **options)

    async def reset_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_codecs = True
        await super().reset_type_codec(*args, **options)

    async def set_builtin_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_codecs = True
        await super().set_builtin_type_codec(*args, **options)


async def connect(
    dsn: str,
    *,
    application_name: str = "dozor",
    timeout: float = CONNECT_TIMEOUT,
    command_timeout: float | None = COMMAND_TIMEOUT,
    statement_cache: bool = True,
    kind: type[asyncpg.Connection] = asyncpg.Connection,
) -> Connection:
    """One connection. `statement_cache=False`: no statement is kept, as always behind a pooler that shares
    sessions (`pooling.dsn_of`).

    `kind`: such as `fence.fenced_connection(…)`.

    Raises DatabaseUnavailableError if trying again later makes sense, else StorageError with the remedy.
    """
    options = _options(dsn, application_name, timeout, command_timeout, statement_cache, kind)
    try:
        try:
            connection = await _open(**options)
        except OSError as error:
            if not (out_of_resources(error) and RESERVE.release()):
                raise
            connection = await _open(**options)
    except _RAISED as error:
        raise _connect_error(dsn, error) from _cause(error)
    try:
        await _prepare(connection)
    except _RAISED as error:
        connection.terminate()
        raise _connect_error(dsn, error) from _cause(error)
    except BaseException:  # refused by the fence, or cancelled
        connection.terminate()
        raise
    return connection


async def disconnect(connection: Connection, *, timeout: float = 2.0) -> None:
    """Closes the connection properly if the server reacts within `timeout` seconds. Never raises."""
    try:
        await connection.close(timeout=timeout)
    except _RAISED:
        connection.terminate()


async def create_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "dozor",
    timeout: float = CONNECT_TIMEOUT,
    command_timeout: float | None = COMMAND_TIMEOUT,
    statement_cache: bool = True,
    as_asyncpg: bool = False,
    kind: type[asyncpg.Connection] = asyncpg.Connection,
    json_codec: bool = True,
    reset: bool = True,
) -> Pool:
    """A pool with `min_size` connections made now; with 0 none, so the server may be away.

    `as_asyncpg`: connections as asyncpg makes them, for other people's databases: jsonb as text, and the
    server's own timezone and application name where the address gives them.

    A broken connection is replaced at the next `acquire`. What fails later raises
    asyncpg's own errors; `unavailable` tells which. Raises as `connect`.

    `json_codec` false: jsonb is text, as PgQueuer takes it. `reset` false: connections are returned without a
    RESET (a round trip): whoever uses them changes no setting of the session.
    """
    options = _options(dsn, application_name, timeout, command_timeout, statement_cache, kind)
    if as_asyncpg:
        named = "application_name=" in dsn
        options["server_settings"] = {} if named else {"application_name": application_name}
    contexts = CleanContext()

    async def open_apart(*args: Any, loop: asyncio.AbstractEventLoop, **options: Any) -> Connection:
        """Opened by whoever needs it first, used by all: it must not keep the context of a run."""
        opening = loop.create_task(_open(*args, loop=loop, **options), context=contexts.fresh())
        try:
            return await opening
        except asyncio.CancelledError:
            # Cancelled in the turn in which it was opened: nothing else refers to this connection.
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().terminate()
            raise

    pool = asyncpg.create_pool(
        min_size=min_size,
        max_size=max_size,
        init=_prepare if json_codec and not as_asyncpg else None,
        connect=open_apart,
        **({} if reset else {"reset": _keep_session}),
        **options,
    )
    try:
        await pool
    except _RAISED as error:
        pool.terminate()
        raise _connect_error(dsn, error) from _cause(error)
    return pool


async def _keep_session(connection: Connection) -> None:
    """Nothing to undo."""


def unavailable(error: BaseException) -> bool:
    """Does it mean that the database is away for now, so that the same again later may succeed?

    True as well if this process is out of descriptors or memory (`out_of_resources`): the same later may do.
    False for a mistake of ours, a wrong password, a missing database or right: those need a person.
    """
    match error:
        case DatabaseUnavailableError():
            return True
        case PoolExhaustedError():  # a TimeoutError, but the server is not the cause
            return False
        case ssl.SSLCertVerificationError() | PermissionError():
            return False
        case ConnectionError() if "rejected SSL upgrade" in str(error):
            return False
        case OSError():  # refused, reset, no such socket, no such host, TimeoutError
            return True
        case asyncpg.PostgresError():
            return isinstance(error, _AWAY)
        case asyncpg.TargetServerAttributeNotMatched():  # in a failover nobody is primary
            return True
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return bool(_CLOSED.search(str(error)))
        case _:
            return False


def of_connecting(error: BaseException) -> bool:
    """Can it come from making a connection: the server, the way to it, or the address?"""
    return isinstance(error, _RAISED)


def named_connect_error(name: str, dsn: str, error: Exception) -> StorageError:
    """Why a connection to the database `name` under `databases:` cannot be made. It holds no password."""
    if out_of_resources(error):
        return OutOfResourcesError(describe(error))
    reason = connect_error_text(error).replace("database.url", f"databases.{name}")
    text = msg("error-named-database", name=name, address=address(dsn, f"databases.{name}"), reason=reason)
    return DatabaseUnavailableError(text) if unavailable(error) else StorageError(text)


def refused(error: BaseException) -> bool:
    """Are these very values impossible to store, now and for ever, whatever anybody does to the server?

    Not the opposite of `unavailable`: a deadlock, a cancelled statement, a lost right, a changed password
    are neither, and what was to be written is worth keeping.
    """
    return isinstance(error, _REFUSED)


def of_database(error: BaseException) -> bool:
    """Does it come from the server or the way to it, and not from a mistake in this program?"""
    return isinstance(error, (StorageError, *_RAISED)) and not isinstance(error, ValueError)


def connect_error_text(error: BaseException) -> str:
    """What is wrong and what would be right; it never holds a password or the address it came from."""
    if out_of_resources(error):
        return describe(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{msg(_CERTIFICATE.get(error.verify_code, 'error-certificate'))} ({error.verify_message})"
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return msg("error-tls-refused")
    for kinds, key in _CONNECT_ERRORS:
        if isinstance(error, kinds):
            text, said = msg(key), _said(error)
            return f"{text} ({said})" if said else text
    if isinstance(error, StorageError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__}: {_said(error)}"
    if isinstance(error, asyncpg.InternalClientError) or unavailable(error):
        return msg("error-connection-broke")
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return type(error).__name__  # a connection used wrongly; errors of parsing are ValueErrors
    return msg(_BAD_URL)


def address(dsn: str, unknown: str = "database.url") -> str:
    """Where `dsn` points, for people: host and port, or the socket's folder; nothing secret."""
    try:
        parts = urlsplit(dsn)
        host, port = parts.hostname, parts.port
        sockets = parse_qs(parts.query).get("host", [])
    except ValueError:
        return unknown
    if "@" in parts.path + parts.query + parts.fragment:  # a password with an unquoted / ? or #
        return unknown
    if sockets:
        return sockets[0]
    return f"{host}:{port or 5432}" if host else unknown


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store: NUL and lone surrogates become U+FFFD."""
    if "\0" not in text and (text.isascii() or not _SURROGATE.search(text)):
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def _open(*args: Any, **options: Any) -> Connection:
    connection = await asyncpg.connect(*args, **options)
    own(connection, _descriptors)
    return connection


def _descriptors(connection: Any) -> tuple[int, ...]:
    """Its socket. The session, and the locks it holds, must not live on in a forked child."""
    end = connection._transport.get_extra_info("socket")
    return () if end is None else (end.fileno(),)


def _options(
    dsn: str,
    application_name: str,
    timeout: float,
    command_timeout: float | None,
    statement_cache: bool,
    kind: type[asyncpg.Connection],
) -> dict[str, Any]:
    if not dsn.startswith(_SCHEMES):
        raise StorageError(msg(_BAD_URL))
    _check_tls_settings(dsn)
    dsn, shared = unmarked(dsn)
    options: dict[str, Any] = {
        "dsn": dsn,
        "connection_class": without_session_state(kind) if shared else kind,
        "timeout": timeout,
        "command_timeout": command_timeout,
        "server_settings": {"application_name": application_name, "timezone": "UTC"},
    }
    if shared or not statement_cache:
        options["statement_cache_size"] = 0
    return options


def _check_tls_settings(dsn: str) -> None:
    """Raises StorageError for a file or mode that is wrong: the driver would call it a missing socket."""
    try:
        query = parse_qs(urlsplit(dsn).query)
    except ValueError:
        return  # logged by the caller that connects
    for name in _SSL_FILES:
        for path in query.get(name, []):
            try:
                Path(path).read_bytes()
            except OSError as error:
                if not out_of_resources(error):
                    reason = error.strerror or type(error).__name__
                    raise StorageError(msg("error-tls-file", name=name, path=path, reason=reason)) from None
    for mode in query.get("sslmode", []):
        if mode not in _SSL_MODES:
            raise StorageError(msg("error-tls-mode", modes=", ".join(_SSL_MODES)))
        named = "sslrootcert" in query or "PGSSLROOTCERT" in os.environ
        if (
            mode.startswith("verify-")
            and not named
            and not Path("~/.postgresql/root.crt").expanduser().exists()
        ):
            raise StorageError(msg("error-tls-root", mode=mode))


async def _prepare(connection: Connection) -> None:
    # In a transaction: a pgbouncer between us must not change servers between its statements.
    async with connection.transaction():
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=encode_json, decoder=json.loads, format="text"
        )


def encode_json(value: object) -> str:
    """JSON that PostgreSQL takes as jsonb: characters that it refuses are replaced."""
    text = _encode(value)
    return storable(_JSON_NUL.sub("\\1\ufffd", text) if "\\u0000" in text else text)


def _connect_error(dsn: str, error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    if out_of_resources(error):
        return OutOfResourcesError(describe(error))
    text = msg("error-postgres-at", address=address(dsn), reason=connect_error_text(error))
    return DatabaseUnavailableError(text) if unavailable(error) else StorageError(text)


def _cause(error: Exception) -> Exception | None:
    """Errors of parsing quote the address, and with it a password: they are not chained."""
    return error if isinstance(error, (OSError, asyncpg.PostgresError, StorageError)) else None


def _said(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


_RAISED = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
# The driver's error for a connection that broke while it was held, as it gives it back to its pool by
# itself, or lost a race with the server's farewell. Misuse of ours would sound like the second only.
_CLOSED = re.compile(
    r"connection (is|was) closed|connection has been released back to the pool"
    r"|cannot switch to state|called on a free connection holder"
)
_BAD_URL = "error-database-url"
# https://www.openssl.org/docs/manmaster/man3/X509_STORE_CTX_get_error.html, by number.
_CERTIFICATE = {
    9: "error-certificate-expired",
    10: "error-certificate-expired",
    62: "error-certificate-host",
    64: "error-certificate-host",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_AWAY = (
    asyncpg.PostgresConnectionError,  # class 08; pgbouncer uses 08P01 for everything
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk full, out of memory
    asyncpg.ReadOnlySQLTransactionError,  # we are talking to a standby: a failover is under way
    asyncpg.PostgresIOError,
)
_REFUSED = (
    asyncpg.DataError,  # class 22
    asyncpg.IntegrityConstraintViolationError,  # class 23
    asyncpg.ProgramLimitExceededError,  # class 54: a value too long for an index
    ValueError,  # the driver's own DataError, and what cannot be encoded
    TypeError,
    OverflowError,
)
_CONNECT_ERRORS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((asyncpg.InvalidPasswordError,), "error-wrong-password"),
    (
        (asyncpg.InvalidAuthorizationSpecificationError,),
        "error-not-let-in",
    ),
    ((asyncpg.InvalidCatalogNameError,), "error-no-such-database"),
    ((asyncpg.InsufficientPrivilegeError,), "error-lacks-right"),
    (
        (asyncpg.TooManyConnectionsError,),
        "error-no-free-connection",
    ),
    ((asyncpg.CannotConnectNowError,), "error-server-starting"),
    ((asyncpg.ReadOnlySQLTransactionError,), "error-read-only-server"),
    ((asyncpg.QueryCanceledError,), "error-statement-timeout"),
    ((asyncpg.LockNotAvailableError,), "error-lock-timeout"),
    ((ssl.SSLError,), "error-tls"),
    ((TimeoutError,), "error-connect-timeout"),
    ((ConnectionRefusedError,), "error-connect-refused"),
    ((FileNotFoundError,), "error-no-socket"),
    ((PermissionError,), "error-socket-permission"),
    ((asyncpg.PostgresConnectionError, ConnectionError), "error-connection-broke"),
    ((asyncpg.TargetServerAttributeNotMatched,), "error-no-suitable-server"),
    ((socket.gaierror,), "error-unknown-host"),
    ((OSError,), "error-unreachable"),
)
