"""One destination's living messages: brought up to date one at a time, as the pace allows."""

from __future__ import annotations

from typing import assert_never

from dozor.alerting.delivery.context import DeliveryContext, outcome_of
from dozor.alerting.delivery.destination import FIRST_PAUSE, LONGEST_PAUSE, Backoff, DestinationState
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditingTransport,
    Gone,
    Rejected,
    RetryAfter,
    Transport,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.decisions import NotifyReason, delivery_entry
from dozor.alerting.model.incident import Incident, read
from dozor.alerting.model.message import Message
from dozor.config.incident_kinds import IncidentKind
from dozor.storage.tables import incidents
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.incidents import StormGroup


class LiveMessageEditor:
    """`contact`: shared with the lane, whose messages go first."""

    def __init__(
        self, room: DeliveryContext, key: str, transport: Transport, contact: DestinationState
    ) -> None:
        self._room = room
        self._key = key
        self._transport = transport
        self._contact = contact
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._not_before = float("-inf")
        self._failed: set[int] = set()
        # Incidents whose edit failed: the others have their turn first, perhaps it is this one's own trouble.

    async def message(self, incident: Incident) -> Message:
        """What its living message is to show now."""
        return self._room.renderer.live(incident, await self.causes(incident))

    async def causes(self, incident: Incident) -> list[StormGroup]:
        """Of a storm, the worst first; none of anything else."""
        if incident.kind is not IncidentKind.STORM:
            return []
        return await self._room.until_available(lambda: incidents.read_storm(self._room.pool, incident.id))

    async def next(self) -> float | None:
        """Edit the message most out of date; seconds to wait before another, None: all show what is."""
        room, transport = self._room, self._transport
        if not isinstance(transport, EditingTransport):
            return None
        outdated = await room.until_available(
            lambda: living.read_outdated(room.pool, self._key, self._failed)
        )
        if outdated is None and self._failed:
            self._failed.clear()
            outdated = await room.until_available(lambda: living.read_outdated(room.pool, self._key))
        if outdated is None:
            return None
        if (wait := max(self._contact.wait_to_edit(), self._not_before - room.clock.now())) > 0:
            return wait
        row = outdated.incident
        incident = read(row)
        if incident is None:
            await room.until_available(lambda: living.forget(room.pool, self._key, row.id))
            return 0.0
        message = await self.message(incident)
        self._contact.consume()
        at = room.clock.now()
        outcome = await outcome_of(transport.edit(message, outdated.message_id))
        match outcome:
            case Delivered():
                self._pauses.reset()
                edited = delivery_entry(at, NotifyReason.EDITED, transport=transport.name)
                await room.until_available(
                    lambda: living.mark_shown(
                        room.pool, self._key, row.id, row.updated_at, at, decision=edited
                    )
                )
                return 0.0
            case Gone() | Rejected():
                await room.until_available(lambda: living.forget(room.pool, self._key, row.id))
                return 0.0
            case RetryAfter(seconds):
                return await self._contact.throttle(seconds)
            case ChatMoved(chat_id):
                await self.moved(chat_id)
                return 0.0
            case Unavailable() | Unknown():
                # Messages find out by themselves: they do not wait for an edit.
                self._failed.add(row.id)
                pause = self._pauses.next()
                self._not_before = room.clock.now() + pause
                return pause
            case _:
                assert_never(outcome)

    async def moved(self, chat_id: int) -> None:
        """The chat has become `chat_id`: its old messages cannot be reached."""
        # In this order: an old id may be that of another message there.
        await self._room.until_available(lambda: living.forget_all(self._room.pool, self._key))
        await self._contact.moved(chat_id)
