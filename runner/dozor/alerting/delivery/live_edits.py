"""Edits the live messages of one destination, one at a time, within its rate limit."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from loguru import logger

from dozor.alerting.delivery.context import DeliveryContext, outcome_of
from dozor.alerting.delivery.destination import FIRST_PAUSE, LONGEST_PAUSE, DestinationState
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditingTransport,
    EditOutcome,
    Gone,
    Place,
    PlacedTransport,
    Rejected,
    RetryAfter,
    Transport,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.codec import stored_facts, to_row
from dozor.alerting.model.decisions import NotifyReason, delivery_entry
from dozor.alerting.model.incident import Incident, IncidentState, firing, read
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import FIRING, Notification, priority
from dozor.backoff import Backoff
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language import msg
from dozor.storage.tables import incidents, notifications
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.incidents import StormGroup
from dozor.storage.tables.notifications import MessagePlace, NotificationRow

END_PATIENCE = 10.0
"""Seconds for which edits of further messages of ended incidents give way to other messages."""


class LiveMessageEditor:
    """`state`: shared with the delivery worker, whose messages go first."""

    def __init__(
        self, context: DeliveryContext, key: str, transport: Transport, state: DestinationState
    ) -> None:
        self._context = context
        self._key = key
        self._transport = transport
        self._state = state
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._not_before = float("-inf")
        self._failed: set[int] = set()
        # Incidents whose edit failed; the others are tried first.
        self._end_waits_since: float | None = None

    async def message(self, incident: Incident, *, retold: bool = False) -> Message:
        """What its live message is to show now. `retold`: it replaces one in another chat."""
        return self._context.renderer.live(incident, await self.causes(incident), retold=retold)

    async def causes(self, incident: Incident) -> list[StormGroup]:
        """Of a storm, the worst first; none for another incident."""
        if incident.kind is not IncidentKind.STORM:
            return []
        return await self._context.until_available(
            lambda: incidents.read_storm(self._context.pool, incident.id)
        )

    async def next(self) -> float | None:
        """Edit the message most out of date; seconds to wait before another, None: all are up to date."""
        context, transport = self._context, self._transport
        if not isinstance(transport, EditingTransport):
            return None
        outdated = await context.until_available(
            lambda: living.read_outdated(context.pool, self._key, self._failed)
        )
        if outdated is None and self._failed:
            self._failed.clear()
            outdated = await context.until_available(lambda: living.read_outdated(context.pool, self._key))
        if outdated is None:
            return await self._end_next(transport)
        # An end is as urgent as a message: answers of the bot in a busy group must not delay it.
        over = outdated.incident.state == IncidentState.RESOLVED
        pace = self._state.wait_to_send() if over else self._state.wait_to_edit()
        if (wait := max(pace, self._not_before - context.clock.now())) > 0:
            ends = None if over else await self._end_next(transport)
            return wait if ends is None else min(wait, ends)
        row = outdated.incident
        incident = read(row)
        if incident is None:
            await context.until_available(lambda: living.forget(context.pool, self._key, row.id))
            return 0.0
        message = await self.message(incident)
        self._state.consume()
        at = context.clock.now()
        outcome = await outcome_of(transport.edit(message, outdated.message_id))
        match outcome:
            case Delivered():
                self._pauses.reset()
                edited = delivery_entry(at, NotifyReason.EDITED, transport=transport.name)
                await context.until_available(
                    lambda: living.mark_shown(
                        context.pool, self._key, row.id, row.updated_at, at, decision=edited
                    )
                )
                return 0.0
            case Gone() | Rejected():
                number = outdated.message_id
                await context.until_available(lambda: living.mark_ended(context.pool, self._key, number))
                await context.until_available(lambda: living.forget(context.pool, self._key, row.id))
                return 0.0
            case RetryAfter(seconds):
                return await self._state.throttle(seconds)
            case ChatMoved(chat_id):
                await self.moved(chat_id)
                return 0.0
            case Unavailable() | Unknown():
                # Only edits wait: messages have a backoff of their own.
                self._failed.add(row.id)
                pause = self._pauses.next()
                self._not_before = context.clock.now() + pause
                return pause
            case _:
                assert_never(outcome)

    async def _end_next(self, transport: EditingTransport) -> float | None:
        """Show the end of an incident in another of its messages, without buttons; None: none is left."""
        context, key = self._context, self._key
        found = await context.until_available(lambda: living.read_unended(context.pool, key))
        now = context.clock.now()
        if found is None:
            self._end_waits_since = None
            return None
        if self._end_waits_since is None:
            self._end_waits_since = now
        # Part of the rate limit is kept for messages, but in a busy group answers of the bot use up the rest.
        left = self._end_waits_since + END_PATIENCE - now
        pace = self._state.wait_to_send()
        if left > 0:
            pace = min(self._state.wait_to_edit(), max(pace, left))
        if (wait := max(pace, self._not_before - now)) > 0:
            return wait
        incident = read(found.incident)
        outcome: EditOutcome = Gone("")
        if incident is not None:
            message = first_line(await self.message(incident))
            self._state.consume()
            outcome = await outcome_of(transport.edit(message, found.message_id))
        match outcome:
            case Delivered() | Gone() | Rejected():
                await context.until_available(lambda: living.mark_ended(context.pool, key, found.message_id))
                return 0.0
            case RetryAfter(seconds):
                return await self._state.throttle(seconds)
            case ChatMoved(chat_id):
                await self.moved(chat_id)
                return 0.0
            case Unavailable() | Unknown():
                pause = self._pauses.next()
                self._not_before = context.clock.now() + pause
                return pause
            case _:
                assert_never(outcome)

    async def moved(self, chat_id: int) -> None:
        """The chat has become `chat_id`: its old messages cannot be edited."""
        # In this order: an old id may be that of another message there.
        await self._leave(chat_id)
        await self._state.moved(chat_id)

    async def replaced(self) -> None:
        """The destination is another chat, topic or bot than before, as `state` has it."""
        await self._leave(self._state.chat_id)
        await self._state.keep()

    async def _leave(self, chat_id: int) -> None:
        """Forget the old messages, and queue what is open anew; repeating it changes nothing.

        What was delivered in the new place already (before a change that was taken back, by another
        destination, while the database was away) is edited there and not sent again.
        """
        context, key = self._context, self._key
        shown = await context.until_available(lambda: living.forget_all(context.pool, key))
        alerts = [kind.value for kind in FIRING]
        rows = await context.until_available(
            lambda: incidents.read_open_told(context.pool, key, shown, alerts)
        )
        opened = [incident for row in rows if (incident := read(row)) is not None]
        if opened and isinstance(transport := self._transport, PlacedTransport):
            place = place_of(transport.place, chat_id)
            kinds = {incident.id: firing(incident).value for incident in opened}
            adopted = await context.until_available(
                lambda: living.adopt(context.pool, key, place, kinds, alerts)
            )
            opened = [incident for incident in opened if incident.id not in adopted]
        queued = await context.until_available(lambda: notifications.pending_anew(context.pool, key))
        opened = [incident for incident in opened if incident.id not in queued]
        if opened:
            logger.info(msg("log-told-anew", key=key, count=len(opened)))
            notes = [to_row(told_anew(one, key, context.clock.now())) for one in opened]
            await context.until_available(lambda: self._enqueue(notes))

    async def _enqueue(self, notes: list[NotificationRow]) -> None:
        async with self._context.pool.acquire() as connection:
            await notifications.enqueue(connection, notes)


def first_line(message: Message) -> Message:
    """Its header alone, without buttons and files."""
    texts = [span.text for span in message.spans]
    end = next((place for place, text in enumerate(texts) if text.startswith("\n")), len(texts))
    return Message(spans=message.spans[:end], silent=True)


def place_of(place: Place, chat_id: int | None = None) -> MessagePlace:
    """As stored with a notification. `chat_id`: instead of that of `place`."""
    return chat_id or place.chat_id, place.thread_id, place.bot_id


def told_anew(incident: Incident, destination: str, now: float) -> Notification:
    """An open incident for a destination that is another chat, topic or bot than the one notified of it."""
    facts = replace(stored_facts(incident), retold=True, quiet=incident.state is not IncidentState.OPEN)
    kind = firing(incident)
    return Notification(
        key=f"anew-{incident.id}-{now * 1000:.0f}@{destination}",
        kind=kind,
        severity=incident.severity,
        created_at=now,
        task=incident.task,
        incident_id=incident.id,
        facts=facts,
        destination=destination,
        priority=priority(kind, incident.severity),
    )
