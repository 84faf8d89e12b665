"""Whether a session of the database belongs to one client, or a pooler shares it between transactions.

A pgbouncer with `pool_mode = transaction` gives each transaction any session that is free. What a session
keeps (settings, advisory locks, LISTEN, temporary tables, prepared statements) then belongs to whoever comes
next: LISTEN reports success and receives nothing, and a session advisory lock is granted twice. So
`database.pooling: transaction` goes with the address wherever it is passed, child processes included:
`connect` and `create_pool` read it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from dozor.config.values.choices import Pooling

if TYPE_CHECKING:  # child processes import this module, and need no configuration
    from dozor.config import DatabaseConfig

_MARK = "dozor_pooling=transaction"

# Of one's own session: a pid alone may be in use on another server of a failover address.
SESSION_SQL = """
SELECT pid::text || ' ' || coalesce(backend_start::text, '')
FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
ROUNDS = 3
"""How often the sessions of two connections are compared if nothing speaks of a pooler."""
ROUNDS_BEHIND_A_POOLER = 30
"""With other clients, a pooler may by chance give a connection the session it had before."""


def dsn_of(config: DatabaseConfig) -> str | None:
    """The address for `connect` and `create_pool`; None: the embedded server. It holds a password."""
    if config.url is None:
        return None
    dsn = config.url.get_secret_value()
    return marked(dsn) if config.pooling is Pooling.TRANSACTION else dsn


def session_dsn_of(config: DatabaseConfig) -> str | None:
    """An address at which a session is one's own; None: there is none, or the server is embedded."""
    if config.pooling is Pooling.TRANSACTION:
        return None if config.direct_url is None else config.direct_url.get_secret_value()
    return None if config.url is None else config.url.get_secret_value()


def marked(dsn: str) -> str:
    """`dsn` of a pooler that shares sessions."""
    return f"{dsn}{'&' if '?' in dsn else '?'}{_MARK}"


def unmarked(dsn: str) -> tuple[str, bool]:
    """The address for the driver, and whether a pooler there shares sessions."""
    for separator in "?&":
        if dsn.endswith(separator + _MARK):
            return dsn[: -len(_MARK) - 1], True
    return dsn, False


def without_session_state(kind: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
    """`kind` for a shared session: nothing is reset when a pool takes the connection back.

    The statements would run in a session that is another client's by then.
    """

    def get_reset_query(self: object) -> str:
        return ""

    return type(f"Shared{kind.__name__}", (kind,), {"__slots__": (), "get_reset_query": get_reset_query})


async def shares_sessions(one: Any, other: Any) -> bool:
    """Whether a pooler between us shares sessions. `one`, `other`: two open connections to the same address.

    Two sessions that are alive at the same time never are the same, and a session of one's own never changes.
    A pooler that shares gives away the session of an idle connection as soon as another one needs it.
    A server states the pid of its process when a connection begins; a pooler that keeps sessions apart from
    connections states another number, and is looked at for longer.
    Raises asyncpg's errors.
    """
    before = await one.fetchval(SESSION_SQL)
    direct = before is not None and before.split()[0] == str(one.get_server_pid())
    for _ in range(ROUNDS if direct else ROUNDS_BEHIND_A_POOLER):
        try:
            async with other.transaction():
                meanwhile = await other.fetchval(SESSION_SQL)
                after = await one.fetchval(SESSION_SQL)
        except asyncpg.PostgresError as error:
            if "statement pooling" in str(error):  # pgbouncer refuses BEGIN with pool_mode = statement
                return True
            raise
        if meanwhile == before or before != after:
            return True
    return False
