"""Delivers what is owed: claim, send, settle; one message at a time, in order.

    claimed ──send──▶ Delivered ─────────▶ settled
                      RetryAfter ────────▶ put back, wait as told
                      ChatMoved ─────────▶ put back, at once again to the new chat
                      Unavailable ───────▶ put back, wait, longer each time
                      Unknown ───────────▶ put back marked as a possible duplicate, wait likewise
                      Rejected ──────────▶ shown on the console, put back, the chat rests for a while

A message is marked as being sent before it leaves and settled after, so a process that dies in between
leaves a message that is sent again, marked. Nothing is given up while somebody can still be told: only when
a later message gets through where an earlier one was refused is the earlier one itself at fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, assert_never

from loguru import logger

from runner.alerting.message import Message
from runner.alerting.notification import Notification
from runner.alerting.outbox import from_claimed
from runner.alerting.plain import unrendered
from runner.alerting.transport import (
    ChatMoved,
    Delivered,
    Outcome,
    Rejected,
    RetryAfter,
    Transport,
    Unavailable,
    Unknown,
    outcome_name,
)
from runner.clock import Clock
from runner.storage import notifications
from runner.storage.notifications import ClaimedNotification
from runner.storage.pool import Pool, unavailable

T = TypeVar("T")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between attempts while the other side is away: doubled from the first to the longest."""
FIRST_REST = 30.0
LONGEST_REST = 600.0
"""Seconds a chat that refuses us is left alone."""
POLL_EVERY = 5.0
"""Seconds between looks at the outbox when nobody wakes the dispatcher."""
REJECTIONS_BEFORE_PROBE = 3
"""Refusals of one message after which the next one is tried, to learn whose fault it is."""


@dataclass(frozen=True, slots=True)
class Sent:
    """For metrics: how a delivery ended. `latency` in seconds since the message became owed."""

    kind: str
    outcome: str
    latency: float


class Dispatcher:
    """`render` puts a notification into words; `console` is where messages go that the transport refuses."""

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        console: Transport,
        render: Callable[[Notification], Message],
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._console = console
        self._render = render
        self._clock = clock
        self._wake = asyncio.Event()
        self._resting = asyncio.Event()
        self._pause = FIRST_PAUSE
        self._rest = FIRST_REST
        self.on_sent: Callable[[Sent], None] = lambda sent: None
        self.refused: str | None = None
        """Why the chat refuses us, None while it does not."""
        self.last_progress_at = clock.now()
        """When the loop last did something or found nothing to do; seconds since the epoch."""

    def wake(self) -> None:
        """Something new is owed."""
        self._wake.set()
        self._resting.clear()

    async def rested(self) -> None:
        """Returns when nothing is owed, or the other side makes us wait."""
        await self._resting.wait()

    def use(self, transport: Transport) -> None:
        """Deliver through `transport` from now on."""
        self._transport = transport
        self._pause, self._rest = FIRST_PAUSE, FIRST_REST
        self.refused = None
        self.wake()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            self.last_progress_at = self._clock.now()
            self._wake.clear()
            self._resting.clear()
            pause = await self.deliver_next()
            if pause != 0.0 and not self._wake.is_set():
                self._resting.set()
            if pause is None:
                await self._until_woken()
            else:
                await self._wait(pause)

    async def deliver_next(self) -> float | None:
        """Deliver the oldest message owed; the seconds to wait before the next, None if nothing is owed."""
        claimed = await self._database(lambda: notifications.claim(self._pool))
        if claimed is None:
            return None
        outcome = await self._attempt(claimed, self._transport)
        match outcome:
            case Rejected(reason) if claimed.attempts >= REJECTIONS_BEFORE_PROBE:
                await self._rejected(claimed, reason)
                if not await self._next_gets_through(claimed):
                    return self._rest_now()
                await self._database(lambda: notifications.mark_undeliverable(self._pool, claimed.id, reason))
                logger.error("Message {} cannot be delivered: {}. It is on the console.", claimed.id, reason)
                return 0.0
            case Rejected(reason):
                await self._rejected(claimed, reason)
                return self._rest_now()
            case _:
                return await self._settle(claimed, outcome)

    async def _settle(
        self,
        claimed: ClaimedNotification,
        outcome: Delivered | RetryAfter | ChatMoved | Unavailable | Unknown,
    ) -> float:
        """Write down what became of the attempt; the seconds to wait before the next."""
        match outcome:
            case Delivered(message_id):
                self._pause, self._rest, self.refused = FIRST_PAUSE, FIRST_REST, None
                name = self._transport.name
                await self._database(
                    lambda: notifications.mark_delivered(self._pool, claimed.id, name, message_id)
                )
                return 0.0
            case RetryAfter(seconds):
                await self._put_back(claimed, f"told to wait {seconds:g} s", retry_in=seconds)
                return seconds
            case ChatMoved(chat_id):
                # At once to the new chat; a chat that moves again and again is not believed at once.
                pause = 0.0 if claimed.attempts == 1 else self._pause_now()
                await self._put_back(claimed, f"the chat has become {chat_id}", retry_in=pause)
                return pause
            case Unavailable(reason):
                pause = self._pause_now()
                await self._put_back(claimed, reason, retry_in=pause)
                return pause
            case Unknown(reason):
                pause = self._pause_now()
                await self._put_back(claimed, reason, retry_in=pause, unknown=True)
                return pause
            case _:
                assert_never(outcome)

    async def _attempt(self, claimed: ClaimedNotification, transport: Transport) -> Outcome:
        outcome = await transport.send(self._words(from_claimed(claimed)))
        latency = self._clock.now() - claimed.row.created_at
        self.on_sent(Sent(claimed.row.kind, outcome_name(outcome), latency))
        if not isinstance(outcome, Delivered):
            logger.warning("Message {} ({}) not delivered: {}", claimed.id, claimed.row.kind, outcome)
        return outcome

    def _words(self, notification: Notification) -> Message:
        """In words; plainly if finding them fails: a defect there must not cost the alert."""
        try:
            return self._render(notification)
        except Exception as error:  # noqa: BLE001 -- the border around the words, recorded
            logger.opt(exception=error).error("No words for {}", notification.key)
            return unrendered(notification)

    async def _rejected(self, claimed: ClaimedNotification, reason: str) -> None:
        """Show it on the console, once, and owe it still."""
        if self.refused is None:
            logger.error(
                "{} refuses messages: {}. They go to the console until it takes them.",
                self._transport.name,
                reason,
            )
        self.refused = reason
        if claimed.shown_on is None:
            await self._console.send(self._words(from_claimed(claimed)))
        await self._put_back(claimed, reason, retry_in=self._rest, shown_on=self._console.name)
        await self._show_the_others(claimed.id)

    async def _show_the_others(self, after_id: int) -> None:
        """What waits behind a refused message must not be silent either."""
        for waiting in await self._database(lambda: notifications.read_unshown(self._pool, "", after_id)):
            await self._console.send(self._words(from_claimed(waiting)))
            shown = partial(notifications.mark_shown, self._pool, waiting.id, self._console.name)
            await self._database(shown)

    async def _next_gets_through(self, refused: ClaimedNotification) -> bool:
        """Is it the message and not the chat? Try the next one."""
        following = await self._database(lambda: notifications.claim(self._pool, leave=[refused.id]))
        if following is None:
            return False
        outcome = await self._attempt(following, self._transport)
        if isinstance(outcome, Rejected):
            await self._put_back(following, outcome.reason, retry_in=self._rest)
            return False
        await self._settle(following, outcome)
        return isinstance(outcome, Delivered)

    async def _put_back(
        self,
        claimed: ClaimedNotification,
        reason: str,
        *,
        retry_in: float,
        unknown: bool = False,
        shown_on: str | None = None,
    ) -> None:
        await self._database(
            lambda: notifications.put_back(
                self._pool, claimed.id, reason[:500], unknown=unknown, retry_in=retry_in, shown_on=shown_on
            )
        )

    def _pause_now(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause

    def _rest_now(self) -> float:
        rest, self._rest = self._rest, min(self._rest * 2, LONGEST_REST)
        return rest

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(POLL_EVERY):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _wait(self, seconds: float) -> None:
        """A pause that the other side imposed: new messages do not cut it short, a new transport does."""
        until = self._clock.now() + seconds
        transport = self._transport
        while self._transport is transport and (left := until - self._clock.now()) > 0:
            self.last_progress_at = self._clock.now()
            await asyncio.sleep(min(left, 1.0))

    async def _database(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the database, for as long as it takes: what has been sent must be written down."""
        pause = 0.1
        while True:
            try:
                return await ask()
            except Exception as error:
                if not unavailable(error):
                    raise
            self.last_progress_at = self._clock.now()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
