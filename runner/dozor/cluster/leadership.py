"""Who leads: the standby's wait for the lease, and the leader's renewals, on a connection of their own.

    standing by ──take──▶ leading ──resign──▶ (ended)
         ▲                   │
         └──── EXPIRING, SUPERSEDED: runs were cancelled and have ended ────┘

A lease is taken over when it has expired by the database's clock, or `renewals` did not change for a whole
lease by our own clock, or its holder is known to be dead on this machine, or it is our own from an answer
that got lost.
While a runner without a cluster holds the lock of its session, no lease is taken.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from loguru import logger

from dozor.cluster import lease
from dozor.cluster.lease import Holder, LeaseRow, Term
from dozor.cluster.trust_window import CHILD_SLACK, TrustWindow
from dozor.errors import StorageError
from dozor.language import msg
from dozor.storage.postgres.listen import POLL_EVERY
from dozor.storage.postgres.pool import Connection, connect, connect_error_text, of_database
from dozor.storage.tables import runners

RENEWALS = 3
"""Renewals in each lease."""
LOOK_EVERY = 0.25
"""Seconds between a standby's looks at the lease; NOTIFY of a resignation comes sooner."""
LEASE_SESSION = "dozor lease"
"""Name of the leader's session: the lock that it holds, against runners without a cluster, is no runner's."""


class Ending(StrEnum):
    """Why a leader leads no more."""

    EXPIRING = "expiring"  # it could not renew in time
    SUPERSEDED = "superseded"  # another replica has taken the lease


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The lease as last read, and when, by CLOCK_BOOTTIME. `unchanged_since`: of (epoch, renewals)."""

    row: LeaseRow
    at: float
    unchanged_since: float


def lapsed(seen: LeaseSeen, me: Holder, ttl: float) -> bool:
    """Has the holder given up the lease although it has not expired by the database's clock? Pure.

    `ttl`: our own, seconds; the longer one of both counts.
    """
    row = seen.row
    if row.term.epoch == 0 or row.expired:
        return row.expired
    if row.term.holder == me.id:
        return True  # we do not lead: the answer to our own take-over was lost
    if seen.at - seen.unchanged_since > max(ttl, row.ttl):
        return True
    return row.process.known_dead(me.process)


class Leadership:
    """`dsn` holds a password. `session_locks`: False behind a pgbouncer that pools transactions."""

    def __init__(
        self,
        dsn: str,
        me: Holder,
        window: TrustWindow,
        *,
        session_locks: bool = True,
        statement_cache: bool = True,
    ) -> None:
        self.me = me
        self.window = window
        self.seen: LeaseSeen | None = None
        """What this process knows of the lease."""
        self.children_until = float("-inf")
        """By the clock of the window: until then child processes of the leader before may live.

        Of one that was found dead. When a lease has expired they have ended.
        """
        self._dsn = dsn
        self._session_locks = session_locks
        self._statement_cache = statement_cache
        self._connection: Connection | None = None
        self._resigned = asyncio.Event()
        self._locked = False
        self._said: str | None = None

    @property
    def ttl(self) -> float:
        return self.window.ttl

    @property
    def _patience(self) -> float:
        """Seconds for one answer of the database."""
        return self.ttl / 5

    # -- standing by

    async def acquire(self) -> Term:
        """Stand by until this process leads. The window is open, and the timer armed, when it returns."""
        while True:
            try:
                async with asyncio.timeout(self._patience * 2):
                    term = await self._try()
            except (TimeoutError, StorageError) as error:
                self._failed(error)
            except Exception as error:
                if not of_database(error):
                    raise
                self._failed(error)
            else:
                if term is not None:
                    return term
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY if self._session_locks else POLL_EVERY):
                    await self._resigned.wait()
            self._resigned.clear()

    async def _try(self) -> Term | None:
        """Look at the lease, and take it if it is to be had."""
        connection = await self._session(listen=True)
        seen = await self._look(connection)
        if not lapsed(seen, self.me, self.ttl):
            self._say(msg("log-cluster-standby", name=seen.row.name, epoch=seen.row.term.epoch))
            return None
        holder = await runners.read_holder(connection, LEASE_SESSION)
        if holder is not None:
            self._say(msg("log-waiting-for-runner", holder=holder))
            return None
        attempted_at = self.window.now()
        term = await lease.take(connection, self.me, self.ttl, lapsed=seen.row)
        if term is None:
            await self._look(connection)  # another replica has just taken it
            return None
        self.window.extend(attempted_at)
        self._own(term, attempted_at)
        self.children_until = float("-inf") if seen.row.expired else attempted_at + seen.row.ttl * CHILD_SLACK
        self._said = None
        return term

    def _own(self, term: Term, attempted_at: float) -> None:
        """This process has taken or renewed the lease: what it knows of it when it stands by again."""
        if self.seen is not None:
            row = replace(self.seen.row, term=term, ttl=self.ttl, name=self.me.name, age=0.0)
            self.seen = LeaseSeen(row, attempted_at, attempted_at)

    async def _look(self, connection: Connection) -> LeaseSeen:
        row = await lease.read(connection)
        now, before = self.window.now(), self.seen
        same = before is not None and (before.row.term, before.row.renewals) == (row.term, row.renewals)
        since = before.unchanged_since if before is not None and same else now
        self.seen = seen = LeaseSeen(row, now, since)
        return seen

    # -- leading

    async def keep(self, term: Term) -> Ending:
        """Renew until that fails for so long that runs have to be cancelled, or another replica leads."""
        window = self.window
        renew_at = window.now() + self.ttl / RENEWALS
        while True:
            await asyncio.sleep(max(0.0, min(renew_at, window.closes_at) - window.now()))
            attempted_at = window.now()
            if attempted_at >= window.closes_at:
                return Ending.EXPIRING
            try:
                async with asyncio.timeout(min(self._patience, window.closes_at - attempted_at)):
                    renewed = await self._renew(term)
            except (TimeoutError, StorageError) as error:
                self._failed(error)
            except Exception as error:
                if not of_database(error):
                    raise
                self._failed(error)
            else:
                if not renewed:
                    window.distrust()
                    return Ending.SUPERSEDED
                window.extend(attempted_at)
                self._own(term, attempted_at)
                self._said = None
                renew_at = attempted_at + self.ttl / RENEWALS
                continue
            renew_at = window.now() + self.ttl / 30

    async def _renew(self, term: Term) -> bool:
        connection = await self._session()
        if not await lease.renew(connection, term, self.ttl):
            return False
        if self._session_locks and not self._locked:
            self._locked = await runners.try_lock(connection)
        return True

    async def resign(self, term: Term) -> None:
        """Let another replica lead at once, in a new session if the present one does not answer.

        What fails is logged: the lease then ends by itself.
        """
        for seconds in (self._patience, self._patience * 2):
            try:
                async with asyncio.timeout(seconds):
                    await lease.resign(await self._session(), term)
            except Exception as error:
                if not (isinstance(error, TimeoutError | StorageError) or of_database(error)):
                    raise
                self._failed(error)
            else:
                return

    def close(self) -> None:
        """End the session, and with it the lock."""
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None

    # -- inside

    async def _session(self, *, listen: bool = False) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._locked = False
            self._connection = connection = await connect(
                self._dsn,
                application_name=LEASE_SESSION,
                timeout=self._patience,
                command_timeout=self._patience,
                statement_cache=self._statement_cache,
            )
            if listen and self._session_locks:
                await connection.add_listener(lease.CHANNEL, lambda *_: self._resigned.set())
        return self._connection

    def _failed(self, error: BaseException) -> None:
        self.close()
        self._say(msg("log-cluster-no-lease", reason=connect_error_text(error)), warning=True)

    def _say(self, text: str, *, warning: bool = False) -> None:
        """Once, not at each look."""
        if text != self._said:
            (logger.warning if warning else logger.info)("{}", text)
            self._said = text
