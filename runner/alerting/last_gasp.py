"""While the database is away: what waits in memory goes straight to the chat, a little of it, once.

What was told that way is settled without being sent again when the database is back; an attempt whose outcome
is unknown is sent again then, marked as a possible duplicate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from loguru import logger

from runner.alerting.directly import SentDirectly
from runner.alerting.incident import IncidentKind
from runner.alerting.notification import Facts
from runner.alerting.outbox import from_row
from runner.alerting.shared import Words
from runner.alerting.transport import Delivered, Transport, Unknown
from runner.alerting.watch import Watch
from runner.clock import Clock
from runner.storage.health import DatabaseHealth
from runner.storage.notifications import NotificationRow

DOWN_FOR = 10.0
"""Seconds for which the database may be away without anybody being told: a restart of it is no incident."""
PER_MINUTE = 5
PER_OUTAGE = 20
"""Messages straight from memory; what is more waits for the database."""
LOOK_EVERY = 1.0
NAME = "PostgreSQL"
HELD_SHOWN = 20


class LastGasp:
    """`unwritten`: what waits for the database. `transport`: the way to the configured chat at present."""

    def __init__(
        self,
        watch: Watch,
        health: DatabaseHealth,
        unwritten: Callable[[], Sequence[NotificationRow]],
        held: Callable[[], tuple[str, ...]],
        transport: Callable[[], Transport],
        words: Words,
        clock: Clock,
        sent: SentDirectly,
    ) -> None:
        self._watch = watch
        self._health = health
        self._unwritten = unwritten
        self._held = held
        self._transport = transport
        self._words = words
        self._clock = clock
        self._sent = sent
        self._times: deque[float] = deque()
        self._left = PER_OUTAGE
        self._raised = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Raise or clear the incident, and send at most one message."""
        now, down_since = self._clock.now(), self._health.down_since
        if down_since is None:
            if self._raised:
                self._raised = False
                self._left = PER_OUTAGE
                self._watch.trouble_over(IncidentKind.DEPENDENCY, NAME)
            return
        if now - down_since < DOWN_FOR:
            return
        if not self._raised:
            self._raised = True
            held = self._held()
            facts = Facts(lines=held[:HELD_SHOWN], count=len(held) or None)
            self._watch.trouble(IncidentKind.DEPENDENCY, NAME, facts)
        await self._send_one(now)

    async def _send_one(self, now: float) -> None:
        while self._times and now - self._times[0] >= 60.0:
            self._times.popleft()
        if self._left <= 0 or len(self._times) >= PER_MINUTE:
            return
        waiting = [row for row in self._unwritten() if row.destination == "" and self._untried(row)]
        if not waiting:
            return
        row = min(waiting, key=lambda one: one.priority)  # the oldest of the most urgent
        if row.priority > 1:
            return  # it can wait
        self._times.append(now)
        self._left -= 1
        outcome = await self._transport().send(self._words.note(from_row(row)))
        match outcome:
            case Delivered(message_id):
                self._sent.delivered[row.key] = message_id
            case Unknown():
                self._sent.unknown.add(row.key)
            case _:
                logger.warning("Straight from memory, not delivered: {}", outcome)

    def _untried(self, row: NotificationRow) -> bool:
        return row.key not in self._sent.delivered and row.key not in self._sent.unknown
