"""What Telegram takes too long to get goes through the second channel, and one summary comes when it is back.

Every destination counts, a person's private chat as well. What was told that way is settled and never
replayed; a summary is owed to each chat that missed something, kept up to date until it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dozor.alerting.delivery.context import Renderer
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.plan import Drop, Edit, Send, plan
from dozor.alerting.delivery.transport import NAME
from dozor.alerting.fallback.channel import FallbackChannel, Wait
from dozor.alerting.model.codec import from_claimed
from dozor.alerting.model.decisions import Because, NotifyReason, delivery_entry
from dozor.alerting.model.incident import Incident, read
from dozor.alerting.model.notification import NotificationKind
from dozor.clock import Clock
from dozor.config.incident_kinds import IncidentKind, Severity
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor.storage.retry import every, until_available
from dozor.storage.tables import fallback_deliveries as unsent
from dozor.storage.tables import incidents, notifications
from dozor.storage.tables.notifications import ClaimedNotification, NotificationRow

LOOK_EVERY = 5.0
AT_ONCE = 200
"""Messages considered for one of the second channel."""
TRIED_IN_VAIN = 2
"""Attempts, the one under way included."""
LINES = 19
"""Of a summary."""
SUMMED_WITHIN = 86_400.0
"""Seconds: a chat that is gone for longer has missed more than a summary could tell."""
SUMMARY_PRIORITY = 1
"""Before the recoveries of what it names."""


@dataclass(slots=True)
class FailoverMessage:
    """One thing to say, and every row that it settles."""

    step: Send
    rows: list[ClaimedNotification] = field(default_factory=list)


class ChannelFailover:
    """`directly`: what went past the database."""

    def __init__(
        self,
        pool: Pool,
        channel: FallbackChannel,
        words: Renderer,
        translator: Translator,
        clock: Clock,
        directly: DirectSends,
    ) -> None:
        self._pool = pool
        self._channel = channel
        self._words = words
        self._translator = translator
        self._clock = clock
        self._directly = directly
        self._missing: frozenset[str] | None = None
        # Chats that have missed something and have not had their summary; None: not looked yet.

    async def run(self) -> None:
        """Look for ever."""
        await every(self.look, LOOK_EVERY)

    async def look(self) -> None:
        """Tell what has waited too long, as much of it as one message holds; see to the summaries."""
        if self._missing is None or self._missing or self._directly.via_fallback:
            summing = self._directly.to_be_summed
            self._missing = await self._summarise()
            self._directly.summarised(summing)
        now = self._clock.now()
        waiting = await unsent.read_unsent(self._pool, NotificationKind.ESCALATION.value, NAME, AT_ONCE)
        waiting = [one for one in waiting if one.row.key not in self._directly.via_fallback]
        telling = to_tell(waiting, now)
        rows = [claimed.row for one in telling for claimed in one.rows]
        waits = [
            Wait(row.destination, now - row.created_at, row.priority, row.destination in self._missing)
            for row in rows
        ]
        if not (due := self._channel.due(waits, now)):
            return
        telling = select_due(telling, due)
        texts = [await self._text(one) for one in telling]
        longest = max(one.seconds for one in waits if one.destination in due)
        told = await self._channel.tell(texts, longest, now)
        if told == 0:
            return
        # Told is told: a database that goes away now must hear of it, or it would be told again.
        await until_available(lambda: self._settle(telling[:told], now), lambda: None)
        self._missing = await self._summarise()

    # -- inside

    async def _text(self, one: FailoverMessage) -> str:
        incident = read(one.rows[0].incident)
        if incident is not None and incident.kind is IncidentKind.STORM and one.step.is_live:
            return await self._as_it_is(incident)  # a digest is made when it leaves
        return self._words.notification(one.step.note).plain

    async def _as_it_is(self, incident: Incident) -> str:
        storm = incident.kind is IncidentKind.STORM
        groups = await incidents.read_storm(self._pool, incident.id) if storm else []
        return self._words.live(incident, groups).plain

    async def _settle(self, telling: Sequence[FailoverMessage], now: float) -> None:
        told = delivery_entry(now, NotifyReason.FALLBACK)
        ids = [row.id for one in telling for row in one.rows]
        await unsent.mark_told(self._pool, ids, NAME, now, decision=told)
        said = delivery_entry(now, NotifyReason.SUPERSEDED, Because.SAID)
        for claimed in (row for one in telling if one.step.supersedes_all for row in one.rows):
            await notifications.supersede_others(self._pool, claimed, decision=said)

    async def _summarise(self) -> frozenset[str]:
        """One summary owed to each chat that missed something, true as of now; which chats these are."""
        untold = await unsent.read_unsummed(self._pool, NAME, self._clock.now() - SUMMED_WITHIN)
        owed = {one.destination: one for one in await unsent.read_pending_summaries(self._pool)}
        by_destination: dict[str, list[ClaimedNotification]] = {}
        for claimed in untold:
            by_destination.setdefault(claimed.row.destination, []).append(claimed)
        for destination, missed in by_destination.items():
            payload = await self._summary(missed)
            found = owed.get(destination)
            if found is None:
                await self._owe(destination, missed[0].id, payload)
            elif found.free and found.payload != payload:
                await unsent.rewrite_summary(self._pool, found.id, payload)
        return frozenset(by_destination)

    async def _summary(self, missed: Sequence[ClaimedNotification]) -> dict[str, Any]:
        """Of each incident how it stands now; of the rest, what was said. The loudest first."""
        lines: dict[int, tuple[int, str]] = {}
        stopped: list[str] = []
        for claimed in missed:
            incident = read(claimed.incident)
            if incident is None:
                text, rank = self._words.notification(from_claimed(claimed)).plain, 2
            elif incident.id in lines:
                continue
            else:
                text, rank = await self._as_it_is(incident), 2
                if incident.is_open:
                    rank = 0 if incident.severity is Severity.CRITICAL else 1
                    if incident.kind is IncidentKind.CRITICAL_STOP and incident.task:
                        stopped.append(incident.task)
            key = -claimed.id if incident is None else incident.id
            lines[key] = (rank, text.partition("\n")[0])
        shown = [line for _, line in sorted(lines.values(), key=lambda one: one[0])]
        if (more := len(shown) - LINES) > 0:
            shown = [*shown[:LINES], self._translator.format("alert-and-more", count=more)]
        ids = [claimed.id for claimed in missed]
        return {"lines": shown, "count": len(missed), "told": ids, "stopped_tasks": stopped}

    async def _owe(self, destination: str, first: int, payload: dict[str, Any]) -> None:
        """The key makes it one, however often this is tried."""
        row = NotificationRow(
            key=f"{unsent.SUMMARY}-{first}@{destination}",
            kind=NotificationKind.SUMMARY.value,
            severity=Severity.INFO.value,
            created_at=self._clock.now(),
            payload=payload,
            destination=destination,
            priority=SUMMARY_PRIORITY,
        )
        async with self._pool.acquire() as connection:
            await notifications.enqueue(connection, [row])


def to_tell(waiting: Iterable[ClaimedNotification], now: float) -> list[FailoverMessage]:
    """What of it is worth saying now, the most urgent first; the same for several chats is said once. Pure.

    Of one incident the older is said before the newer. What is not worth saying is left to the lanes.
    """
    groups: dict[object, list[ClaimedNotification]] = {}
    for claimed in waiting:
        number = claimed.row.incident_id
        groups.setdefault(f"row {claimed.id}" if number is None else number, []).append(claimed)
    said: dict[str, FailoverMessage] = {}
    closed: set[tuple[str, int | None]] = set()
    for group in groups.values():  # in the order of their most urgent
        for claimed in sorted(group, key=lambda one: one.id):
            place = (claimed.row.destination, claimed.row.incident_id)
            step = plan(claimed, from_claimed(claimed), now, can_edit=False)
            if isinstance(step, Drop) or place in closed:
                continue
            step = step.otherwise if isinstance(step, Edit) else step
            said.setdefault(base_key(claimed.row), FailoverMessage(step)).rows.append(claimed)
            if step.supersedes_all:
                closed.add(place)
    return list(said.values())


def select_due(telling: Iterable[FailoverMessage], due: frozenset[str]) -> list[FailoverMessage]:
    """What is for the destinations in `due`, or was tried in vain: a chat that works keeps its own. Pure."""
    kept = [
        FailoverMessage(
            one.step, [row for row in one.rows if row.row.destination in due or row.attempts >= TRIED_IN_VAIN]
        )
        for one in telling
    ]
    return [one for one in kept if one.rows]


def base_key(row: NotificationRow) -> str:
    """The same for one message to several destinations."""
    return row.key.partition("@")[0]
