"""The dispatcher: one delivery worker for each destination with pending messages, under shared rate limits.

A chat that hangs, refuses or has to wait does not delay the messages of other chats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from loguru import logger

from dozor.alerting.delivery.context import DeliveryAttempt, DeliveryContext, Renderer
from dozor.alerting.delivery.destination import enter
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.rate_limit import REMEMBERED, RateLimiter, RateLimiters
from dozor.alerting.delivery.transport import Place, PlacedTransport, Transport
from dozor.alerting.delivery.worker import URGENT, DestinationWorker
from dozor.alerting.policy.routes import parse_destination
from dozor.clock import Clock
from dozor.language import msg
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import destinations, notifications
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.destinations import DestinationRow

__all__ = ["DeliveryAttempt", "Dispatcher"]

POLL_EVERY = 5.0
"""Seconds between two polls of the outbox when no worker is woken."""
CALM = 0.05
"""Seconds before reading new destinations: messages for known ones are sent first."""
DEFAULT = ""
"""The destination that is the chat of the configuration."""

Open = Callable[[str], "tuple[Transport, int] | None"]
"""The transport to a destination and its chat's id; None: there is none."""


class Dispatcher:
    """`console` takes messages that the transport refuses, or for which there is no transport.

    `direct_sends`: what went past the database. `lagging`: whether more is known than the tables show; no
    message leaves then. `on_attempt` is called with the end of each attempt, `on_dead` with a destination
    that refuses messages and the reason, or None when it takes them again.
    """

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        console: Transport,
        words: Renderer,
        clock: Clock,
        *,
        direct_sends: DirectSends | None = None,
        lagging: Callable[[], bool] = lambda: False,
        on_attempt: Iterable[Callable[[DeliveryAttempt], None]] = (),
        on_dead: Callable[[str, str | None], None] = lambda key, reason: None,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._chat_id: int | None = None
        self._open: Open = lambda key: None
        self._clock = clock
        self.paces = RateLimiters(clock)
        self._calls: list[tuple[str, float]] = []
        # Of the last minute, by the previous process.
        self._showing: set[str] = set()
        # Destinations with live messages of the previous process.
        self._workers: dict[str, DestinationWorker] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, DestinationRow] | None = None
        self._changed = asyncio.Event()
        self._resting = asyncio.Event()
        self._busy: set[str] = set()
        # Delivery workers that have something to do.
        self._on_dead = on_dead
        self.directly = DirectSends() if direct_sends is None else direct_sends
        self._context = DeliveryContext(
            pool=pool,
            console=console,
            renderer=words,
            clock=clock,
            rate_limiters=self.paces,
            on_attempt=tuple(on_attempt),
            on_dead=on_dead,
            direct_sends=self.directly,
            journal_lagging=lagging,
            alive=self._alive,
        )
        self._holds: dict[str, str] = {}
        self.last_progress_at = clock.now()
        """When a worker last did something or found nothing to do; seconds since the epoch."""

    @property
    def refused(self) -> str | None:
        """Why the chat of the configuration refuses messages, None while it does not."""
        worker = self._workers.get(DEFAULT)
        return None if worker is None else worker.refused

    @property
    def holds(self) -> dict[str, str]:
        """Destinations that urgent messages cannot reach for long, and why; without those that refuse."""
        return dict(self._holds)

    async def check_holds(self) -> None:
        """Report what holds urgent messages for long, and its end."""
        urgent = await self._context.until_available(lambda: notifications.read_urgent(self._pool, URGENT))
        now = self._clock.now()
        for key in {*urgent, *self._holds}:
            worker, since = self._workers.get(key), urgent.get(key)
            known = key in self._holds
            reason = None
            if worker is not None and since is not None:
                reason = worker.hold(since, now, known=known)
            if reason is None:
                if self._holds.pop(key, None) is not None and (worker is None or worker.refused is None):
                    self._on_dead(key, None)
                continue
            self._holds[key] = reason
            if not known and worker is not None:
                logger.error(msg("log-destination-held", key=key, reason=reason))
                self._on_dead(key, reason)
                await worker.show_waiting(reason)

    @property
    def pace(self) -> RateLimiter:
        """Of the chat of the configuration, for what is sent there without its worker."""
        worker = self._workers.get(DEFAULT)
        return RateLimiter() if worker is None else worker.pace

    @property
    def transport(self) -> Transport:
        """To the chat of the configuration, at present."""
        return self._transport

    def wake(self) -> None:
        """A message was queued."""
        for event in self._wakes.values():
            event.set()
        self._changed.set()
        self._resting.clear()

    async def idle(self) -> None:
        """Returns when nothing is pending, or Telegram makes all workers wait."""
        await self._resting.wait()

    def set_transport(
        self, transport: Transport, open_: Open | None = None, *, chat_id: int | None = None
    ) -> None:
        """Deliver through `transport` from now on; `open_` makes those of other destinations.

        `chat_id`: of the chat that `transport` goes to; negative for a group, which has a lower rate limit.
        """
        self._transport, self._chat_id = transport, chat_id
        if open_ is not None:
            self._open = open_
        self._end_workers()
        self._workers.clear()
        self._known = None
        self.wake()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    self._changed.clear()
                    await self._start_workers(group)
                    await self.check_holds()
                    await _wait(self._changed, POLL_EVERY)
                    await asyncio.sleep(CALM)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                self._end_workers()
                self._tasks.clear()

    async def reopen(self, chat_id: int) -> None:
        """The chat, or a chat that became it, takes messages again: its workers try again at once."""
        for key, worker in list(self._workers.items()):
            if worker.chat_id == chat_id and worker.reopen() and (wake := self._wakes.get(key)) is not None:
                wake.set()

    async def deliver_next(self, key: str = DEFAULT) -> float | None:
        """One step of one worker; the seconds to wait before the next, None if there is nothing to do."""
        await self._learn()
        return await self._worker(key).step()

    def _end_workers(self) -> None:
        for worker in self._workers.values():
            worker.abandon()

    async def _start_workers(self, group: asyncio.TaskGroup) -> None:
        """One for each destination that has pending messages, has had some, or shows live messages."""
        await self._learn()
        pending = await self._context.until_available(
            lambda: notifications.pending_by_destination(self._pool)
        )
        for key in {DEFAULT, *pending, *self._showing}:
            task = self._tasks.get(key)
            if task is None or task.done():
                self._tasks[key] = group.create_task(self._serve(key), name=f"delivery {key or 'chat'}")

    async def _serve(self, key: str) -> None:
        wake = self._wakes.setdefault(key, asyncio.Event())
        while True:
            self._alive()
            wake.clear()
            self._busy.add(key)
            self._resting.clear()
            pause = await self._worker(key).step()
            if pause != 0.0:
                if not wake.is_set():
                    self._busy.discard(key)
                    if not self._busy:
                        self._resting.set()
                await _wait(wake, POLL_EVERY if pause is None else pause)

    async def _learn(self) -> None:
        if self._known is None:
            since = self._clock.now() - REMEMBERED
            self._calls = await self._context.until_available(
                lambda: destinations.read_calls(self._pool, since)
            )
            self._showing = await self._context.until_available(lambda: living.read_places(self._pool))
            self._known = known = await self._context.until_available(
                lambda: destinations.read_all(self._pool)
            )
            for key, row in known.items():
                if row.dead_since is None:  # the process before this one may have ended before it wrote this
                    self._on_dead(key, None)

    def _worker(self, key: str) -> DestinationWorker:
        worker = self._workers.get(key)
        if worker is None:
            transport, chat_id = self._way(key)
            place = Place(chat_id)
            if isinstance(transport, PlacedTransport):
                place = replace(transport.place, chat_id=chat_id)
            known, replaced = DestinationRow(key=key, chat_id=0), False
            if chat_id != 0:
                known, replaced = enter((self._known or {}).get(key), key, place)
            calls = [at for called, at in self._calls if self._chat_of(called) == chat_id]
            worker = self._workers[key] = DestinationWorker(
                self._context, key, transport, known, calls, replaced=replaced
            )
        return worker

    def _way(self, key: str) -> tuple[Transport, int]:
        if key == DEFAULT:
            return self._transport, self._chat_id or 0
        found = self._open(key)
        return (self._context.console, 0) if found is None else found

    def _chat_of(self, key: str) -> int | None:
        place = parse_destination(key)
        return self._chat_id if place is None else place[0]

    def _alive(self) -> None:
        self.last_progress_at = self._clock.now()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
