"""The delivery worker of one destination: claims, sends and settles messages one by one; then files, edits.

    claimed ──send──▶ Delivered ─────────▶ settled
                      RetryAfter ────────▶ put back, this chat waits as long as asked
                      ChatMoved ─────────▶ put back, sent at once to the new chat, which is stored
                      Unavailable ───────▶ put back, after a pause that is doubled each time
                      Unknown ───────────▶ put back marked as a possible duplicate, paused likewise
                      Rejected ──────────▶ shown on the console, put back, a long pause for this chat

A message is marked as being sent before it leaves and settled after, so a process that is killed in between
leaves a message that is sent again, marked. A refused message is given up only when a later one gets through
to the same chat: then the message is the cause, and not the chat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from loguru import logger

from dozor.alerting.delivery.attachments import AttachmentQueue
from dozor.alerting.delivery.context import DeliveryAttempt, DeliveryContext, outcome_of
from dozor.alerting.delivery.destination import DestinationState
from dozor.alerting.delivery.live_edits import LiveMessageEditor, place_of
from dozor.alerting.delivery.plan import Drop, Edit, Send, Step, plan
from dozor.alerting.delivery.rate_limit import RateLimiter
from dozor.alerting.delivery.transport import NAME as SECOND_CHANNEL
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditingTransport,
    EditOutcome,
    Gone,
    Outcome,
    PlacedTransport,
    Rejected,
    RetryAfter,
    Transport,
    Unavailable,
    Unknown,
    outcome_name,
)
from dozor.alerting.model.codec import from_claimed
from dozor.alerting.model.decisions import Because, Entry, NotifyReason, delivery_entry
from dozor.alerting.model.incident import Incident, firing, read
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import FIRING, Notification, NotificationKind
from dozor.alerting.rendering.live_message import with_digest
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language import msg
from dozor.storage.tables import destinations, notifications
from dozor.storage.tables import fallback_deliveries as unsent
from dozor.storage.tables.destinations import DestinationRow
from dozor.storage.tables.notifications import NOWHERE, ClaimedNotification, MessagePlace

BEHIND_PAUSE = 0.3
EDIT_ATTEMPTS = 3
"""After these a message is sent instead of the edit."""
REJECTIONS_BEFORE_PROBE = 3
"""Refusals of one message after which the next one is tried, to find out which is the cause."""


URGENT = 1
"""Priority up to which a message that cannot leave is reported."""
LONG_HOLD = 60.0
"""Seconds that Telegram makes a chat wait, from which it is reported while an urgent message waits."""
UNDELIVERED = 120.0
"""Seconds that an urgent message may wait for a chat that cannot be reached."""


class DestinationWorker:
    """Deliveries to one destination. `replaced`: the messages known of it are elsewhere, see `enter`."""

    def __init__(
        self,
        context: DeliveryContext,
        key: str,
        transport: Transport,
        known: DestinationRow,
        calls: Sequence[float],
        *,
        replaced: bool = False,
    ) -> None:
        self._context = context
        self.key = key
        self.transport = transport
        self._state = DestinationState(
            known,
            transport,
            context.rate_limiters,
            calls,
            context.clock,
            lambda row: context.until_available(lambda: destinations.write(context.pool, row)),
        )
        self._edits = LiveMessageEditor(context, key, transport, self._state)
        self._files = AttachmentQueue(context, transport, self._state, self._edits.moved)
        self._replaced, self._stored = replaced, False
        self._suspect: int | None = None
        # A message that was refused where the next one got through.
        self._failing: str | None = None
        # Why the last message was put off; None: it was delivered.
        self._arrived = 0
        # Messages so far.

    @property
    def refused(self) -> str | None:
        """Why the chat refuses messages, None while it does not."""
        return self._state.refused

    @property
    def pace(self) -> RateLimiter:
        """Of its chat."""
        return self._state.pace

    async def step(self) -> float | None:
        """Do the next thing; the seconds to wait before another, None if there is nothing to do."""
        if not self._context.journal_lagging():  # what was sent past the database is not in the tables yet
            await self._settle_place()
        if (wait := self._state.wait_to_send()) > 0:
            if self.refused is not None:
                await self._call_in_the_group()
            return wait
        if self._context.journal_lagging():
            return BEHIND_PAUSE
        claimed = await self._context.until_available(
            lambda: notifications.claim(self._context.pool, self.key)
        )
        if claimed is None:
            return await self._background_work()
        if self._context.journal_lagging():
            await self._put_back(claimed, "more is known than is written", None, retry_in=BEHIND_PAUSE)
            return BEHIND_PAUSE
        outcome = await self._attempt(claimed)
        match outcome:
            case None:
                return 0.0
            case Rejected(reason, of_message) if claimed.id != self._suspect or not of_message:
                await self._rejected(claimed, reason)
                probe = of_message and claimed.attempts >= REJECTIONS_BEFORE_PROBE
                if not probe or not await self._next_gets_through(claimed):
                    return self._state.backoff_rejected()
                # The chat may just have begun to take messages again: try this one once more.
                self._suspect = claimed.id
                return 0.0
            case Rejected(reason):
                await self._context.until_available(
                    lambda: notifications.mark_undeliverable(
                        self._context.pool,
                        claimed.id,
                        reason,
                        decision=self._decision(NotifyReason.GIVEN_UP, text=reason),
                    )
                )
                logger.error(msg("log-undeliverable", id=claimed.id, reason=reason))
                return 0.0
            case _:
                return await self._put_off(claimed, outcome)

    @property
    def chat_id(self) -> int:
        """Of the chat that it goes to now."""
        return self._state.chat_id

    def reopen(self) -> bool:
        """Its chat takes messages again, as far as can be seen: try at once. False if it never refused.

        A lost topic is tried again as well, by the next message.
        """
        self._state.try_topic()
        if self.refused is None:
            return False
        self._state.reopen()
        return True

    def abandon(self) -> None:
        """The worker ends: log what is not going to be sent."""
        self._files.abandon()

    def hold(self, since: float, now: float, *, known: bool) -> str | None:
        """Why an urgent message, waiting since `since`, cannot leave for long; None: it can, or is refused.

        `known`: it was reported already; then it lasts until something is delivered.
        """
        if self.refused is not None:
            return None
        throttled = self._state.pace.throttled_for(now)
        if throttled >= LONG_HOLD or (known and throttled > 0):
            until = datetime.fromtimestamp(now + throttled, UTC)
            return msg("log-hold-until", until=f"{until:%Y-%m-%d %H:%M} UTC")
        if self._failing is not None and (known or now - since >= UNDELIVERED):
            return self._failing
        return None

    async def show_waiting(self, reason: str) -> None:
        """On the console, once each: the chat does not take it now."""
        context = self._context
        why = self._decision(NotifyReason.PUT_OFF, text=reason)
        for waiting in await context.until_available(
            lambda: notifications.read_unshown(context.pool, self.key, 0)
        ):
            await context.console.send(context.renderer.notification(from_claimed(waiting)))
            await context.until_available(_shown(context, waiting.id, why))

    async def _settle_place(self) -> None:
        """Before anything is sent: old message ids are not used in another chat, topic or by another bot."""
        transport = self.transport
        if not self._stored and self.chat_id != 0:
            if self._replaced:
                await self._edits.replaced()
                self._context.on_dead(self.key, None)
            else:
                await self._state.keep()
            self._stored = True
        if isinstance(transport, PlacedTransport) and transport.place.chat_id != self._state.chat_id:
            await self._edits.moved(transport.place.chat_id)  # a file or a message past the database met it

    async def _background_work(self) -> float | None:
        """No message is pending: send a file, or else an edit."""
        files = await self._files.next()
        edits = await self._edits.next() if files != 0.0 else None
        return min((wait for wait in (files, edits) if wait is not None), default=None)

    # -- messages

    async def _attempt(self, claimed: ClaimedNotification) -> Outcome | None:
        """Send it if it is still worth it; None: it is settled, one way or the other."""
        context = self._context
        if claimed.row.key in context.direct_sends.delivered and self._sent_here():
            note, message_id = from_claimed(claimed), context.direct_sends.delivered[claimed.row.key]
            await self._files.enqueue(context.renderer.notification(note), message_id)
            sent = Send(note, is_live=note.kind in FIRING)
            await self._settle(claimed, sent, message_id, because=Because.DIRECT)
            return None
        if claimed.row.key in context.direct_sends.via_fallback:
            at, decision = context.clock.now(), self._decision(NotifyReason.FALLBACK, Because.DIRECT)
            await context.until_available(
                lambda: unsent.mark_told(context.pool, [claimed.id], SECOND_CHANNEL, at, decision=decision)
            )
            context.direct_sends.settle(claimed.row.key)
            return None
        step = self._plan(claimed)
        if isinstance(step, Drop):
            storm = None if claimed.incident is None else claimed.incident.storm
            ref = storm if step.reason is NotifyReason.GROUPED else None
            why = self._decision(step.reason, step.because, ref=ref)
            await context.until_available(
                lambda: notifications.drop(context.pool, claimed.id, step.state, step.why, decision=why)
            )
            context.direct_sends.settle(claimed.row.key)
            return None
        return await self._carry_out(claimed, step)

    def _sent_here(self) -> bool:
        """What was sent from memory went where this destination is now."""
        sent_to, transport = self._context.direct_sends.place, self.transport
        return sent_to is None or not isinstance(transport, PlacedTransport) or transport.place == sent_to

    def _place(self) -> MessagePlace:
        transport = self.transport
        return place_of(transport.place) if isinstance(transport, PlacedTransport) else NOWHERE

    def _plan(self, claimed: ClaimedNotification) -> Step:
        note = from_claimed(claimed)
        if claimed.row.key in self._context.direct_sends.unknown:
            note = replace(note, possible_duplicate=True)
        can_edit = isinstance(self.transport, EditingTransport) and claimed.attempts <= EDIT_ATTEMPTS
        return plan(claimed, note, self._context.clock.now(), can_edit=can_edit)

    async def _carry_out(self, claimed: ClaimedNotification, step: Send | Edit) -> Outcome | None:
        incident = read(claimed.incident)
        outcome: EditOutcome
        if isinstance(step, Edit):
            assert isinstance(self.transport, EditingTransport)
            assert incident is not None
            message = await self._edits.message(incident)
            self._state.consume()
            outcome = await outcome_of(self.transport.edit(message, step.message_id))
            if isinstance(outcome, Gone):
                return await self._carry_out(claimed, step.otherwise)
            self._count(claimed, outcome)
            if isinstance(outcome, Delivered):
                await self._settle(claimed, step.otherwise, step.message_id, shown=incident)
                return None
            return outcome
        message = await self._message(claimed, step, incident)
        self._state.sending()
        outcome = await outcome_of(self.transport.send(message))
        self._count(claimed, outcome)
        if isinstance(outcome, Delivered):
            self._arrived += 1
            await self._files.enqueue(message, outcome.message_id)
            await self._settle(claimed, step, outcome.message_id)
            return None
        return outcome

    async def _message(self, claimed: ClaimedNotification, step: Send, incident: Incident | None) -> Message:
        if incident is None:
            message = self._worded(step.note, incident)
        elif step.is_live and _retells(step.note, incident):
            message = await self._edits.message(incident, retold=True)
        elif incident.kind is not IncidentKind.STORM:
            message = self._worded(step.note, incident)
        elif step.is_live:
            message = await self._edits.message(incident, retold=step.note.facts.retold)
        else:
            facts = with_digest(step.note.facts, await self._edits.causes(incident), incident)
            message = self._worded(replace(step.note, facts=facts), incident)
        return replace(message, reply_to=claimed.first_id)

    def _worded(self, note: Notification, incident: Incident | None) -> Message:
        shown = incident if incident is not None and (incident.is_open or note.kind in FIRING) else None
        return self._context.renderer.notification(note, shown)

    async def _settle(
        self,
        claimed: ClaimedNotification,
        step: Send,
        message_id: int | None,
        *,
        shown: Incident | None = None,
        because: Because | None = None,
    ) -> None:
        """`shown`: the message was changed to show it, and no new one sent."""
        context = self._context
        shows: float | None = None
        reason = NotifyReason.SENT if shown is None else NotifyReason.EDITED
        decision = self._decision(reason, because, transport=self.transport.name)
        if shown is not None:
            shows = shown.updated_at
        elif step.is_live and claimed.incident is not None:
            # The text is of when it was queued; that of a digest, or of a missed incident, is made now.
            note = step.note
            made_now = claimed.incident.kind == IncidentKind.STORM or note.kind is NotificationKind.PAST
            incident = read(claimed.incident)
            made_now = made_now or (incident is not None and _retells(note, incident))
            shows = claimed.incident.updated_at if made_now else claimed.row.created_at
        await self._context.until_available(
            lambda: notifications.mark_delivered(
                context.pool,
                claimed.id,
                self.transport.name,
                message_id,
                context.clock.now(),
                shows,
                place=self._place(),
                decision=decision,
            )
        )
        self._failing = None
        context.direct_sends.settle(claimed.row.key)
        if step.supersedes_all:
            said = self._decision(NotifyReason.SUPERSEDED, Because.SAID)
            await context.until_available(
                lambda: notifications.supersede_others(context.pool, claimed, decision=said)
            )
        if await self._state.mark_ok():
            context.on_dead(self.key, None)

    async def _put_off(
        self,
        claimed: ClaimedNotification,
        outcome: Outcome,
    ) -> float:
        """Put it back; the seconds to wait before the next attempt."""
        match outcome:
            case RetryAfter(seconds):
                pause = await self._state.throttle(seconds)
                why = self._decision(NotifyReason.PUT_OFF, Because.TOLD_TO_WAIT, text=f"{seconds:g}")
                text = msg("log-told-to-wait", seconds=f"{seconds:g}")
                await self._put_back(claimed, text, why, retry_in=seconds)
            case ChatMoved(chat_id):
                await self._edits.moved(chat_id)
                # At once to the new chat, unless it moves again and again.
                pause = 0.0 if claimed.attempts == 1 else self._state.backoff_unavailable()
                why = self._decision(NotifyReason.PUT_OFF, Because.MOVED, text=str(chat_id))
                text = msg("log-chat-became", chat_id=chat_id)
                await self._put_back(claimed, text, why, retry_in=pause)
            case Unavailable(reason) | Rejected(reason):
                pause = self._state.backoff_unavailable()
                why = self._decision(NotifyReason.PUT_OFF, text=reason)
                await self._put_back(claimed, reason, why, retry_in=pause)
            case Unknown(reason):
                pause = self._state.backoff_unavailable()
                why = self._decision(NotifyReason.UNKNOWN, text=reason)
                await self._put_back(claimed, reason, why, retry_in=pause, unknown=True)
            case Delivered():
                return 0.0
            case _:
                assert_never(outcome)
        return pause

    # -- refusals

    async def _rejected(self, claimed: ClaimedNotification, reason: str) -> None:
        """Show it on the console, once, and put it back."""
        context = self._context
        if self.refused is None:
            logger.error(
                msg("log-destination-refuses", name=self.transport.name, key=self.key, reason=reason),
            )
            await self._state.mark_rejected(reason)
            context.on_dead(self.key, reason)
        await self._call_in_the_group()
        if claimed.shown_on is None:
            await context.console.send(context.renderer.notification(from_claimed(claimed)))
        why, rest = self._decision(NotifyReason.REFUSED, text=reason), self._state.next_rest
        await self._put_back(claimed, reason, why, retry_in=rest, shown_on=context.console.name)
        for waiting in await self._context.until_available(
            lambda: notifications.read_unshown(context.pool, self.key, claimed.id)
        ):
            await context.console.send(context.renderer.notification(from_claimed(waiting)))
            await self._context.until_available(_shown(context, waiting.id, why))

    async def _call_in_the_group(self) -> None:
        """Whoever cannot be called in private (blocked, never started the bot) is called in the group."""
        if self.chat_id > 0:
            await self._context.until_available(
                lambda: notifications.copy_calls(self._context.pool, self.key)
            )

    async def _next_gets_through(self, refused: ClaimedNotification) -> bool:
        """Whether the next message is delivered: then this message is the cause, and not the chat."""
        arrived = self._arrived
        while self._arrived == arrived:  # what is not worth sending proves nothing
            following = await self._context.until_available(
                lambda: notifications.claim(self._context.pool, self.key, leave=[refused.id])
            )
            if following is None:
                return False
            outcome = await self._attempt(following)
            match outcome:
                case None:
                    continue
                case Rejected(reason):
                    why = self._decision(NotifyReason.REFUSED, text=reason)
                    await self._put_back(following, reason, why, retry_in=self._state.next_rest)
                case _:
                    await self._put_off(following, outcome)
            return False
        return True

    # -- inside

    def _count(self, claimed: ClaimedNotification, outcome: Outcome) -> None:
        latency = self._context.clock.now() - claimed.row.created_at
        attempt = DeliveryAttempt(claimed.row.kind, outcome_name(outcome), latency)
        for observe in self._context.on_attempt:
            observe(attempt)
        if not isinstance(outcome, Delivered):
            logger.warning(msg("log-not-delivered", id=claimed.id, kind=claimed.row.kind, outcome=outcome))

    async def _put_back(
        self,
        claimed: ClaimedNotification,
        reason: str,
        decision: Entry | None,
        *,
        retry_in: float,
        unknown: bool = False,
        shown_on: str | None = None,
    ) -> None:
        self._failing = reason if decision is not None else self._failing
        await self._context.until_available(
            lambda: notifications.put_back(
                self._context.pool,
                claimed.id,
                reason[:500],
                unknown=unknown,
                retry_in=retry_in,
                shown_on=shown_on,
                decision=decision,
            )
        )

    def _decision(
        self,
        reason: NotifyReason,
        because: Because | None = None,
        *,
        ref: int | None = None,
        transport: str | None = None,
        text: str | None = None,
    ) -> Entry:
        return delivery_entry(
            self._context.clock.now(), reason, because, ref=ref, transport=transport, text=text
        )


def _retells(note: Notification, incident: Incident) -> bool:
    """Sent again, as the incident is now; if it has become worse, a message of its own reports that."""
    return note.facts.retold and incident.is_open and note.kind is firing(incident)


def _shown(context: DeliveryContext, number: int, why: Entry) -> Callable[[], Awaitable[None]]:
    return lambda: notifications.mark_shown(context.pool, number, context.console.name, decision=why)
