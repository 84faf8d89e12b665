"""LISTEN on a connection of its own. NOTIFY only wakes: the listener then reads the tables.

So a lost notification costs time, never work, and after every (re)connection everybody is woken
once, for what may have been missed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncpg
from loguru import logger

from dozor.backoff import Backoff
from dozor.clock import Clock
from dozor.errors import StorageError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection, connect, connect_error_text

POLL_EVERY = 0.1
"""Seconds between two looks where LISTEN cannot be used."""
WARN_AFTER = 2.0
"""Seconds without a connection that are worth a warning."""

Wake = Callable[[], object]
"""Called on the loop, without arguments; `asyncio.Event.set`, say. Must not block or raise."""

PING_SQL = "SELECT 1"


class Listener:
    """A service: `run` until cancelled. It ends by itself only through an error of ours.

    `check_every`, `answer_within`: seconds; a connection that has died silently is noticed within their
    sum. `first_delay`, `max_delay`: seconds between attempts to connect, doubling, less up to a half at
    random so that several runners do not come back in step. `warn_after`: seconds without a connection
    after which that is logged. A connection that comes back sooner has cost nothing, and a process that
    ends together with its server has nothing to report.
    """

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Wake],
        clock: Clock,
        *,
        application_name: str = "dozor listen",
        check_every: float = 10.0,
        answer_within: float = 5.0,
        first_delay: float = 0.1,
        max_delay: float = 5.0,
        warn_after: float = WARN_AFTER,
    ) -> None:
        self._dsn = dsn
        self._channels = dict(channels)
        self._clock = clock
        self._application_name = application_name
        self._check_every = check_every
        self._answer_within = answer_within
        self._first_delay = first_delay
        self._max_delay = max_delay
        self._warn_after = warn_after
        self._lost_at: float | None = None  # by the loop's clock; None: connected
        self._told = False  # this outage is in the log already
        self.connected = False
        """As far as known: a silent death shows at the next check."""
        self.connected_at: float | None = None
        """When the server last answered (seconds since the epoch); None: not yet."""

    async def run(self) -> None:
        """Connects, listens, and connects again; an outage of `warn_after` seconds is one warning."""
        backoff = Backoff(self._first_delay, self._max_delay)
        while True:
            try:
                connection = await connect(
                    self._dsn, application_name=self._application_name, timeout=self._answer_within
                )
            except StorageError as error:
                self._lost(connect_error_text(error))
            else:
                backoff.reset()
                await self._serve(connection)
            spread = random.uniform(0.5, 1.0)  # noqa: S311 -- spread, not secrecy
            await asyncio.sleep(backoff.next() * spread)

    async def _serve(self, connection: Connection) -> None:
        """Until the connection is lost."""
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            async with asyncio.timeout(self._answer_within):
                for channel, wake in self._channels.items():
                    await connection.add_listener(channel, _ignoring_arguments(wake))
            self._answered()
            for wake in self._channels.values():
                wake()
            while not await _within(self._check_every, closed):
                async with asyncio.timeout(self._answer_within):
                    await connection.fetchval(PING_SQL)
                self._answered()
            self._lost(msg("log-listen-closed"))
        except (
            OSError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # the protocol's state after a server that ended in mid-answer
        ) as error:
            self._lost(connect_error_text(error))
        finally:
            self.connected = False
            connection.terminate()

    def _answered(self) -> None:
        self.connected = True
        self.connected_at = self._clock.now()
        self._lost_at = None
        if self._told:
            logger.info(msg("log-listen-again"))
        self._told = False

    def _lost(self, reason: str) -> None:
        """There is no connection. `reason`: of the last attempt."""
        self.connected = False
        now = asyncio.get_running_loop().time()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if not self._told and (gone := now - self._lost_at) >= self._warn_after:
            logger.warning(msg("log-listen-lost", seconds=f"{gone:.0f}", reason=reason))
            self._told = True


def listening(
    dsn: str | None, channels: Mapping[str, Wake], clock: Clock, *, application_name: str = "dozor listen"
) -> Callable[[], Coroutine[Any, Any, None]]:
    """A service that wakes for `channels`.

    `dsn` None (`Database.session_dsn`): every `POLL_EVERY` seconds, as there is no session to listen on.
    """
    if dsn is not None:
        return Listener(dsn, channels, clock, application_name=application_name).run

    async def poll() -> None:
        while True:
            await asyncio.sleep(POLL_EVERY)
            for wake in channels.values():
                wake()

    return poll


def _ignoring_arguments(wake: Wake) -> Callable[..., None]:
    def on_notify(*_: object) -> None:
        wake()

    return on_notify


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
