"""The outage queue: messages that wait in memory while the database is away, also kept in a file.

The write buffer of the journal holds the messages, `DirectSends` what was sent of them all the same. Each
change is written to the spool, so the runner that starts after a kill sends nothing twice unmarked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from itertools import takewhile

from dozor.alerting.delivery.context import Renderer
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.fallback.failover import URGENT, Wait, base_key
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.codec import from_row
from dozor.alerting.model.incident import IncidentState
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import FIRING, NotificationKind
from dozor.alerting.rendering.live_message import storm_groups
from dozor.storage.journal import Journal
from dozor.storage.spool import Spool, SpoolState
from dozor.storage.tables.notifications import NotificationRow

CALL = NotificationKind.ESCALATION.value

Copies = list[NotificationRow]
"""One message, by destination."""


class OutageQueue:
    """Chooses what of it is worth sending, and records what was sent. A source of failover messages."""

    def __init__(
        self, journal: Journal, spool: Spool, sent: DirectSends, store: IncidentStore, renderer: Renderer
    ) -> None:
        self._journal = journal
        self._spool = spool
        self.sent = sent
        self._store = store
        self._renderer = renderer
        self._under_way: set[str] = set()
        # Keys of what the failover is sending.

    # -- for the sender

    def next_for_chat(self) -> NotificationRow | None:
        """The oldest of the most urgent for the chat of the configuration; None: nothing is untried."""
        tried = self.sent.unknown
        waiting = [row for row in self._unsent() if row.destination == "" and row.key not in tried]
        return min(waiting, key=lambda one: one.priority, default=None)

    def message(self, row: NotificationRow) -> Message:
        """A digest as it is now: the row does not hold its content."""
        note = from_row(row)
        incident = None if row.incident_id is None else self._store.by_id(row.incident_id)
        if note.kind is NotificationKind.STORM and incident is not None and incident.is_open:
            return self._renderer.live(incident, storm_groups(self._store.members(incident.id)))
        return self._renderer.notification(note)

    async def attempt(self, row: NotificationRow) -> list[str]:
        """Record that it may arrive from now on; the keys of everything that the message says.

        It is the newest message about its incident, so it replaces the older ones.
        """
        said = self._said_by(row)
        self.sent.unknown.add(row.key)  # should the database be back before the answer
        await self.keep()  # should the process be killed before it
        return said

    def delivered(self, row: NotificationRow, said: Sequence[str], message_id: int | None) -> None:
        """It was delivered, and with it everything that it reports. `message_id`: the transport's."""
        self.sent.delivered.update(dict.fromkeys(said, message_id))
        self.sent.unknown.discard(row.key)

    def not_delivered(self, row: NotificationRow) -> None:
        """It has certainly not arrived."""
        self.sent.unknown.discard(row.key)

    async def keep(self) -> None:
        """Write the queue to the spool, for the next process; without messages there is nothing to keep."""
        unwritten, sent = self._journal.unwritten, self.sent
        if not unwritten.notifications:
            return
        await self._spool.keep(
            SpoolState(
                runner_id=self._journal.registration.runner_id,
                tasks=unwritten.tasks,
                incidents=unwritten.incidents,
                notifications=unwritten.notifications,
                delivered=dict(sent.delivered),
                elsewhere=frozenset(sent.via_fallback),
                unknown=frozenset(sent.unknown),
                place=None if sent.place is None else astuple(sent.place),
            )
        )

    # -- FailoverSource

    async def undelivered(self, now: float) -> Sequence[Copies]:
        arrived = {key.partition("@")[0] for key in self.sent.delivered}
        # Another chat has the message; but a call for a person is for that person.
        waiting = [row for row in self._unsent() if row.kind == CALL or base_key(row) not in arrived]
        messages: dict[str, Copies] = {}
        for row in sorted(waiting, key=lambda one: one.priority):
            messages.setdefault(base_key(row), []).append(row)
        return list(messages.values())

    def waits(self, messages: Sequence[Copies], now: float) -> Sequence[Wait]:
        in_use = any(row.key in self.sent.via_fallback for row in self._journal.unwritten_notifications)
        rows = [row for copies in messages for row in copies]
        return [Wait(row.destination, now - row.created_at, row.priority, in_use) for row in rows]

    def select(self, messages: Sequence[Copies], due: frozenset[str]) -> Sequence[Copies]:
        """Rows for the destinations `due`, and for any other chat: nothing is delivered there meanwhile."""
        kept = [[row for row in copies if row.destination in due or row.destination] for copies in messages]
        return [copies for copies in kept if copies]

    async def text(self, message: Copies) -> str:
        return self.message(message[0]).plain

    async def begin(self, messages: Sequence[Copies]) -> None:
        self._under_way = {row.key for copies in messages for row in copies} - self.sent.unknown
        self.sent.unknown |= self._under_way
        await self.keep()

    async def settle(self, messages: Sequence[Copies], sent: int, now: float) -> None:
        self.sent.unknown -= self._under_way
        self.sent.via_fallback.update(row.key for copies in messages[:sent] for row in copies)
        await self.keep()

    # -- what is worth sending

    def _said_by(self, row: NotificationRow) -> list[str]:
        if row.kind not in FIRING or row.incident_id is None:
            return [row.key]
        place = (row.incident_id, row.destination)
        older = takewhile(lambda one: one.key != row.key, self._journal.unwritten_notifications)
        said = [
            one.key for one in older if (one.incident_id, one.destination) == place and one.kind in FIRING
        ]
        return [*said, row.key]

    def _unsent(self) -> list[NotificationRow]:
        """What is urgent and has not certainly arrived, the oldest first."""
        arrived = self.sent.delivered.keys() | self.sent.via_fallback
        unwritten = self._journal.unwritten_notifications
        begun = {row.incident_id for row in unwritten if row.key in arrived}
        unsent = {row.incident_id for row in unwritten if row.kind in FIRING} - begun
        urgent = (row for row in unwritten if row.priority <= URGENT and row.key not in arrived)
        return [row for row in urgent if self._is_true(row, begun, unsent)]

    def _is_true(self, row: NotificationRow, begun: set[int | None], unsent: set[int | None]) -> bool:
        """Whether it still is. `begun`: incidents with a message that has arrived; `unsent`: without."""
        number = row.incident_id
        incident = None if number is None else self._store.by_id(number)
        if incident is None:
            return True
        if row.kind in FIRING:
            in_digest = incident.storm is not None and not incident.told and number not in begun
            return incident.is_open and not in_digest
        if row.kind == NotificationKind.RECOVERED:
            return not incident.is_open and number not in unsent
        if row.kind in (NotificationKind.REMINDER, NotificationKind.ESCALATION):
            return incident.state is IncidentState.OPEN
        return True
