"""While the database is away: what waits in memory goes straight to the chat, a little of it, once.

What was told that way is settled without being sent again when the database is back; an attempt whose outcome
is unknown is sent again then, marked as a possible duplicate. With Telegram away as well the second channel
is used, if there is one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile

from loguru import logger

from dozor.alerting.delivery.context import Renderer
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.rate_limit import RateLimiter
from dozor.alerting.delivery.transport import Delivered, RetryAfter, Transport, Unknown
from dozor.alerting.fallback.channel import URGENT, FallbackChannel, Wait
from dozor.alerting.fallback.failover import base_key
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.model.codec import from_row
from dozor.alerting.model.incident import IncidentState
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import FIRING, Facts, NotificationKind
from dozor.alerting.rendering.live_message import storm_groups
from dozor.clock import Clock
from dozor.config.incident_kinds import IncidentKind
from dozor.language import msg
from dozor.storage.health import DatabaseHealth
from dozor.storage.tables.notifications import NotificationRow

DOWN_FOR = 10.0
"""Seconds for which the database may be away without anybody being told: a restart of it is no incident."""
PER_MINUTE = 5
PER_OUTAGE = 20
"""Messages straight from memory; what is more waits for the database."""
LOOK_EVERY = 1.0
NAME = "PostgreSQL"
HELD_SHOWN = 20
CALL = NotificationKind.ESCALATION.value


class OutageSender:
    """`unwritten`: what waits for the database.

    `transport`, `pace`: the way to the configured chat, and its pace, at present. `keep`: put down what is
    known and not written, where the next process finds it.
    """

    def __init__(
        self,
        watch: IncidentManager,
        health: DatabaseHealth,
        unwritten: Callable[[], Sequence[NotificationRow]],
        held: Callable[[], tuple[str, ...]],
        transport: Callable[[], Transport],
        pace: Callable[[], RateLimiter],
        keep: Callable[[], Awaitable[None]],
        words: Renderer,
        clock: Clock,
        sent: DirectSends,
        second: FallbackChannel | None = None,
    ) -> None:
        self._watch = watch
        self._health = health
        self._unwritten = unwritten
        self._held = held
        self._transport = transport
        self._pace = pace
        self._keep = keep
        self._words = words
        self._clock = clock
        self._sent = sent
        self._second = second
        self._times: deque[float] = deque()
        self._left = PER_OUTAGE
        self._raised = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Raise or clear the incident, send at most one message; and what waits too long, the other way."""
        now, down_since = self._clock.now(), self._health.down_since
        if down_since is None:
            if self._raised:
                self._raised = False
                self._left = PER_OUTAGE
                self._watch.resolve_incident(IncidentKind.DEPENDENCY, NAME)
            self._sent.forget_settled()
            return
        if now - down_since < DOWN_FOR:
            return
        if not self._raised:
            self._raised = True
            held = self._held()
            facts = Facts(lines=held[:HELD_SHOWN], count=len(held) or None)
            self._watch.open_incident(IncidentKind.DEPENDENCY, NAME, facts)
        await self._send_one(now)
        await self._tell_elsewhere(now)

    async def _send_one(self, now: float) -> None:
        while self._times and now - self._times[0] >= 60.0:
            self._times.popleft()
        if self._left <= 0 or len(self._times) >= PER_MINUTE:
            return
        tried = self._sent.unknown
        waiting = [row for row in self._untold() if row.destination == "" and row.key not in tried]
        pace = self._pace()
        if not waiting or pace.delay_for_send(now) > 0:
            return
        row = min(waiting, key=lambda one: one.priority)  # the oldest of the most urgent
        self._times.append(now)
        pace.take(now)
        message, said = self._message(row), self._said_by(row)
        self._sent.unknown.add(row.key)  # should the database be back before the answer
        await self._keep()  # should we be killed before it
        outcome = await self._transport().send(message)
        match outcome:
            case Delivered(message_id):
                self._left -= 1
                self._sent.delivered.update(dict.fromkeys(said, message_id))
                self._sent.unknown.discard(row.key)
            case Unknown():
                self._left -= 1
            case _:
                self._sent.unknown.discard(row.key)
                if isinstance(outcome, RetryAfter):
                    pace.hold(now + outcome.seconds)
                logger.warning(msg("log-memory-not-delivered", outcome=outcome))
        await self._keep()

    async def _tell_elsewhere(self, now: float) -> None:
        """Telegram is away as well, or there is more than goes there meanwhile: to anybody it was for."""
        if self._second is None:
            return
        heard = {key.partition("@")[0] for key in self._sent.delivered}
        # Another chat has it; a call for a person is for that person.
        waiting = [row for row in self._untold() if row.kind == CALL or base_key(row) not in heard]
        waiting.sort(key=lambda one: one.priority)
        in_use = any(row.key in self._sent.via_fallback for row in self._unwritten())
        waits = [Wait(row.destination, now - row.created_at, row.priority, in_use) for row in waiting]
        if not (due := self._second.due(waits, now)):
            return
        # Nobody delivers to the other chats meanwhile.
        waiting = [row for row in waiting if row.destination in due or row.destination]
        rows: dict[str, list[NotificationRow]] = {}
        for row in waiting:
            rows.setdefault(base_key(row), []).append(row)
        same = list(rows.values())
        texts = [self._message(group[0]).plain for group in same]
        under_way = {row.key for group in same for row in group} - self._sent.unknown
        self._sent.unknown |= under_way  # as above
        await self._keep()
        told = await self._second.tell(texts, max(now - row.created_at for row in waiting), now)
        self._sent.unknown -= under_way
        self._sent.via_fallback.update(row.key for group in same[:told] for row in group)
        await self._keep()

    def _message(self, row: NotificationRow) -> Message:
        """A digest as it is now: the row does not say what is in it."""
        note = from_row(row)
        incident = None if row.incident_id is None else self._watch.find_incident(row.incident_id)
        if note.kind is NotificationKind.STORM and incident is not None:
            return self._words.live(incident, storm_groups(self._watch.store.members(incident.id)))
        return self._words.notification(note)

    def _said_by(self, row: NotificationRow) -> list[str]:
        """Keys of what this message says: of its incident the newest was sent, which is as it is now."""
        if row.kind not in FIRING or row.incident_id is None:
            return [row.key]
        place = (row.incident_id, row.destination)
        older = takewhile(lambda one: one.key != row.key, self._unwritten())
        said = [
            one.key for one in older if (one.incident_id, one.destination) == place and one.kind in FIRING
        ]
        return [*said, row.key]

    def _untold(self) -> list[NotificationRow]:
        """What is urgent and has not certainly arrived, the oldest first."""
        told = self._sent.delivered.keys() | self._sent.via_fallback
        unwritten = self._unwritten()
        begun = {row.incident_id for row in unwritten if row.key in told}
        untold = {row.incident_id for row in unwritten if row.kind in FIRING} - begun
        urgent = (row for row in unwritten if row.priority <= URGENT and row.key not in told)
        return [row for row in urgent if self._is_so(row, begun, untold)]

    def _is_so(self, row: NotificationRow, begun: set[int | None], untold: set[int | None]) -> bool:
        """Still; the past can wait for the database. `begun`: has been told past it; `untold`: not yet."""
        number = row.incident_id
        incident = None if number is None else self._watch.store.by_id(number)
        if incident is None:
            return True
        if row.kind in FIRING:
            in_digest = incident.storm is not None and not incident.told and number not in begun
            return incident.is_open and not in_digest
        if row.kind == NotificationKind.RECOVERED:
            return not incident.is_open and number not in untold
        if row.kind in (NotificationKind.REMINDER, NotificationKind.ESCALATION):
            return incident.state is IncidentState.OPEN
        return True
