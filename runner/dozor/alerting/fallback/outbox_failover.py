"""Failover of the outbox: messages that stay undelivered in it, and one summary when Telegram is back.

Every destination counts, a person's private chat as well. What the fallback channel has sent is settled and
never sent again; each chat that missed something gets a summary, kept up to date until it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dozor.alerting.delivery.context import Renderer
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.plan import Drop, Edit, Send, plan
from dozor.alerting.delivery.transport import NAME
from dozor.alerting.fallback.failover import ChannelFailover, Wait, base_key
from dozor.alerting.model.codec import from_claimed
from dozor.alerting.model.decisions import Because, NotifyReason, delivery_entry
from dozor.alerting.model.incident import Incident, read
from dozor.alerting.model.notification import NotificationKind
from dozor.clock import Clock
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Pool
from dozor.storage.retry import every, until_available
from dozor.storage.tables import fallback_deliveries, incidents, notifications
from dozor.storage.tables.notifications import ClaimedNotification, NotificationRow

LOOK_EVERY = 5.0
AT_ONCE = 200
"""Rows considered for one message of the fallback channel."""
TRIED_IN_VAIN = 2
"""Attempts, the one under way included."""
LINES = 19
"""Of a summary."""
SUMMED_WITHIN = 86_400.0
"""Seconds: older messages are left out of summaries."""
SUMMARY_PRIORITY = 1
"""Before the recoveries of what it names."""


@dataclass(slots=True)
class FailoverMessage:
    """One message, and every row that it settles."""

    step: Send
    rows: list[ClaimedNotification] = field(default_factory=list)


class OutboxFailover:
    """A source of failover messages. `directly`: what was sent while the database was away."""

    def __init__(
        self,
        pool: Pool,
        failover: ChannelFailover,
        renderer: Renderer,
        translator: Translator,
        clock: Clock,
        directly: DirectSends,
    ) -> None:
        self._pool = pool
        self._failover = failover
        self._renderer = renderer
        self._translator = translator
        self._clock = clock
        self._directly = directly
        self._missing: frozenset[str] | None = None
        # Chats that have missed something and have not had their summary; None: not read yet.

    async def run(self) -> None:
        """Check for ever; while the database is away the outage sender does this instead."""
        await every(self.check, LOOK_EVERY)

    async def check(self) -> None:
        """Bring the summaries up to date, and send what is due."""
        if self._missing is None or self._missing or self._directly.via_fallback:
            summing = self._directly.to_be_summed
            self._missing = await self._summarise()
            self._directly.summarised(summing)
        await self._failover.relay(self, self._clock.now())

    # -- FailoverSource

    async def undelivered(self, now: float) -> Sequence[FailoverMessage]:
        call = NotificationKind.ESCALATION.value
        waiting = await fallback_deliveries.read_unsent(self._pool, call, NAME, AT_ONCE)
        waiting = [one for one in waiting if one.row.key not in self._directly.via_fallback]
        return worth_sending(waiting, now)

    def waits(self, messages: Sequence[FailoverMessage], now: float) -> Sequence[Wait]:
        missing = self._missing or frozenset()
        rows = [claimed.row for message in messages for claimed in message.rows]
        return [
            Wait(row.destination, now - row.created_at, row.priority, row.destination in missing)
            for row in rows
        ]

    def select(self, messages: Sequence[FailoverMessage], due: frozenset[str]) -> Sequence[FailoverMessage]:
        return select_due(messages, due)

    async def text(self, message: FailoverMessage) -> str:
        incident = read(message.rows[0].incident)
        if incident is not None and incident.kind is IncidentKind.STORM and message.step.is_live:
            return await self._present_text(incident)  # a digest is made when it leaves
        return self._renderer.notification(message.step.note).plain

    async def begin(self, messages: Sequence[FailoverMessage]) -> None:
        """Nothing: the rows stay in the outbox until they are settled."""

    async def settle(self, messages: Sequence[FailoverMessage], sent: int, now: float) -> None:
        if sent == 0:
            return
        # Until it is written: a database that goes away now would have them sent again.
        await until_available(lambda: self._settle(messages[:sent], now), lambda: None)
        self._missing = await self._summarise()

    # -- inside

    async def _present_text(self, incident: Incident) -> str:
        storm = incident.kind is IncidentKind.STORM
        groups = await incidents.read_storm(self._pool, incident.id) if storm else []
        return self._renderer.live(incident, groups).plain

    async def _settle(self, messages: Sequence[FailoverMessage], now: float) -> None:
        sent = delivery_entry(now, NotifyReason.FALLBACK)
        ids = [row.id for one in messages for row in one.rows]
        await fallback_deliveries.mark_told(self._pool, ids, NAME, now, decision=sent)
        by_another = delivery_entry(now, NotifyReason.SUPERSEDED, Because.SAID)
        for claimed in (row for one in messages if one.step.supersedes_all for row in one.rows):
            await notifications.supersede_others(self._pool, claimed, decision=by_another)

    async def _summarise(self) -> frozenset[str]:
        """Queue or update one summary for each chat that missed something; which chats these are."""
        since = self._clock.now() - SUMMED_WITHIN
        unsummed = await fallback_deliveries.read_unsummed(self._pool, NAME, since)
        pending = {
            one.destination: one for one in await fallback_deliveries.read_pending_summaries(self._pool)
        }
        by_destination: dict[str, list[ClaimedNotification]] = {}
        for claimed in unsummed:
            by_destination.setdefault(claimed.row.destination, []).append(claimed)
        for destination, missed in by_destination.items():
            payload = await self._summary(missed)
            found = pending.get(destination)
            if found is None:
                await self._queue_summary(destination, missed[0].id, payload)
            elif found.free and found.payload != payload:
                await fallback_deliveries.rewrite_summary(self._pool, found.id, payload)
        return frozenset(by_destination)

    async def _summary(self, missed: Sequence[ClaimedNotification]) -> dict[str, Any]:
        """The present state of each incident, and the text of other messages; the most severe first."""
        found: dict[int, tuple[int, Incident | ClaimedNotification]] = {}
        stopped: list[str] = []
        for claimed in missed:
            incident = read(claimed.incident)
            if incident is None:
                found[-claimed.id] = (2, claimed)
            elif incident.id not in found:
                rank = 2
                if incident.is_open:
                    rank = 0 if incident.severity is Severity.CRITICAL else 1
                    if incident.kind is IncidentKind.CRITICAL_STOP and incident.task:
                        stopped.append(incident.task)
                found[incident.id] = (rank, incident)
        ranked = [one for _, one in sorted(found.values(), key=lambda each: each[0])]
        # Only what is shown is rendered: an outage has hundreds, and the summary is made anew at every look.
        shown = [await self._summary_line(one) for one in ranked[:LINES]]
        if (more := len(ranked) - LINES) > 0:
            shown.append(self._translator.format("alert-and-more", count=more))
        ids = [claimed.id for claimed in missed]
        return {"lines": shown, "count": len(missed), "told": ids, "stopped_tasks": stopped}

    async def _summary_line(self, missed: Incident | ClaimedNotification) -> str:
        if isinstance(missed, Incident):
            text = await self._present_text(missed)
        else:
            text = self._renderer.notification(from_claimed(missed)).plain
        return text.partition("\n")[0]

    async def _queue_summary(self, destination: str, first: int, payload: dict[str, Any]) -> None:
        """The key makes it one, however often this is tried."""
        row = NotificationRow(
            key=f"{fallback_deliveries.SUMMARY}-{first}@{destination}",
            kind=NotificationKind.SUMMARY.value,
            severity=Severity.INFO.value,
            created_at=self._clock.now(),
            payload=payload,
            destination=destination,
            priority=SUMMARY_PRIORITY,
        )
        async with self._pool.acquire() as connection:
            await notifications.enqueue(connection, [row])


def worth_sending(waiting: Iterable[ClaimedNotification], now: float) -> list[FailoverMessage]:
    """What of it is worth sending now, the most urgent first; the same for several chats once. Pure.

    Of one incident the older comes before the newer. The delivery workers settle what is not worth sending.
    """
    groups: dict[object, list[ClaimedNotification]] = {}
    for claimed in waiting:
        number = claimed.row.incident_id
        groups.setdefault(f"row {claimed.id}" if number is None else number, []).append(claimed)
    messages: dict[str, FailoverMessage] = {}
    closed: set[tuple[str, int | None]] = set()
    for group in groups.values():  # in the order of their most urgent
        for claimed in sorted(group, key=lambda one: one.id):
            place = (claimed.row.destination, claimed.row.incident_id)
            step = plan(claimed, from_claimed(claimed), now, can_edit=False)
            if isinstance(step, Drop) or place in closed:
                continue
            step = step.otherwise if isinstance(step, Edit) else step
            messages.setdefault(base_key(claimed.row), FailoverMessage(step)).rows.append(claimed)
            if step.supersedes_all:
                closed.add(place)
    return list(messages.values())


def select_due(messages: Iterable[FailoverMessage], due: frozenset[str]) -> list[FailoverMessage]:
    """Rows for the destinations `due`, and rows tried in vain; a chat that works keeps its own. Pure."""
    kept = [
        FailoverMessage(
            one.step, [row for row in one.rows if row.row.destination in due or row.attempts >= TRIED_IN_VAIN]
        )
        for one in messages
    ]
    return [one for one in kept if one.rows]
