"""The outage sender: while the database is away, sends from the outage queue to the chat, a few messages.

With Telegram away as well, or for other chats, the failover sends what the outage queue holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from loguru import logger

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Delivered, PlacedTransport, RetryAfter, Unknown
from dozor.alerting.fallback.failover import ChannelFailover
from dozor.alerting.fallback.outage_queue import OutageQueue
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.notification import AlertData
from dozor.clock import Clock
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language import msg
from dozor.storage.health import DatabaseHealth

DOWN_FOR = 10.0
"""Seconds for which the database may be away without an incident: a restart of it is none."""
PER_MINUTE = 5
PER_OUTAGE = 20
"""Messages sent from memory; the others wait for the database."""
LOOK_EVERY = 1.0
NAME = "PostgreSQL"
HELD_SHOWN = 20


class OutageSender:
    """`held`: names of the tasks that wait for the database. `failover`: None without a fallback channel."""

    def __init__(
        self,
        manager: IncidentManager,
        health: DatabaseHealth,
        queue: OutageQueue,
        dispatcher: Dispatcher,
        held: Callable[[], tuple[str, ...]],
        clock: Clock,
        failover: ChannelFailover | None = None,
    ) -> None:
        self._manager = manager
        self._health = health
        self._queue = queue
        self._dispatcher = dispatcher
        self._held = held
        self._clock = clock
        self._failover = failover
        self._times: deque[float] = deque()
        self._left = PER_OUTAGE
        self._raised = False

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self.check()
            await asyncio.sleep(LOOK_EVERY)

    async def check(self) -> None:
        """Open or resolve the incident of the database; send at most one message, and what is overdue."""
        now, down_since = self._clock.now(), self._health.down_since
        if down_since is None:
            if self._raised:
                self._raised = False
                self._left = PER_OUTAGE
                self._manager.resolve_incident(IncidentKind.DEPENDENCY, NAME)
            self._queue.sent.forget_settled()
            return
        if now - down_since < DOWN_FOR:
            return
        if not self._raised:
            self._raised = True
            held = self._held()
            facts = AlertData(lines=held[:HELD_SHOWN], count=len(held) or None)
            self._manager.open_incident(IncidentKind.DEPENDENCY, NAME, facts, since=down_since)
        await self._send_one(now)
        if self._failover is not None:
            await self._failover.relay(self._queue, now)

    async def _send_one(self, now: float) -> None:
        while self._times and now - self._times[0] >= 60.0:
            self._times.popleft()
        if self._left <= 0 or len(self._times) >= PER_MINUTE:
            return
        pace, row = self._dispatcher.pace, self._queue.next_for_chat()
        if row is None or pace.delay_for_send(now) > 0:
            return
        self._times.append(now)
        pace.take(now)
        message, said = self._queue.message(row), await self._queue.attempt(row)
        outcome = await self._dispatcher.transport.send(message)
        match outcome:
            case Delivered(message_id):
                self._left -= 1
                transport = self._dispatcher.transport
                self._queue.sent.place = transport.place if isinstance(transport, PlacedTransport) else None
                self._queue.delivered(row, said, message_id)
            case Unknown():
                self._left -= 1
            case _:
                self._queue.not_delivered(row)
                if isinstance(outcome, RetryAfter):
                    pace.hold(now + outcome.seconds)
                logger.warning(msg("log-memory-not-delivered", outcome=outcome))
        await self._queue.keep()
