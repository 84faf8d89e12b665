"""Delivers what is owed: a lane for each destination, all of them within one pace.

A chat that hangs, refuses or has to wait holds up nobody else's messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dozor.alerting.delivery.context import DeliveryAttempt, DeliveryContext, Renderer
from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.rate_limit import REMEMBERED, RateLimiter, RateLimiters
from dozor.alerting.delivery.transport import Transport
from dozor.alerting.delivery.worker import DestinationWorker
from dozor.alerting.policy.routes import parse_destination
from dozor.clock import Clock
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import destinations, notifications
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.destinations import DestinationRow

__all__ = ["DeliveryAttempt", "Dispatcher"]

POLL_EVERY = 5.0
"""Seconds between looks at the outbox when nobody wakes a lane."""
CALM = 0.05
"""Seconds before looking for new destinations: what has just become owed to a known one leaves first."""
DEFAULT = ""
"""The destination that is the chat of the configuration."""

Open = Callable[[str], "tuple[Transport, int] | None"]
"""The transport to a destination and its chat's id; None: nobody knows the way."""


class Dispatcher:
    """`console` is where messages go that the transport refuses, or to which nobody knows the way."""

    def __init__(
        self, pool: Pool, transport: Transport, console: Transport, words: Renderer, clock: Clock
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._chat_id: int | None = None
        self._open: Open = lambda key: None
        self._clock = clock
        self.paces = RateLimiters(clock)
        self._calls: list[tuple[str, float]] = []
        # The last minute's, of the process before this one.
        self._showing: set[str] = set()
        # Destinations with messages of the process before this one, to be kept up to date.
        self._lanes: dict[str, DestinationWorker] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, DestinationRow] | None = None
        self._changed = asyncio.Event()
        self._resting = asyncio.Event()
        self._busy: set[str] = set()
        # Lanes that have something to do.
        self.on_sent: Callable[[DeliveryAttempt], None] = lambda sent: None
        self.on_dead: Callable[[str, str | None], None] = lambda key, reason: None
        """A destination refuses us, and why; None: it takes messages again."""
        self.directly = DirectSends()
        self.behind: Callable[[], bool] = lambda: False
        """Whether more is known than the tables show: no message leaves then."""
        self._room = DeliveryContext(
            pool=pool,
            console=console,
            renderer=words,
            clock=clock,
            rate_limiters=self.paces,
            on_sent=lambda sent: self.on_sent(sent),
            on_dead=lambda key, reason: self.on_dead(key, reason),
            direct_sends=self.directly,
            journal_lagging=lambda: self.behind(),
            alive=self._alive,
        )
        self.last_progress_at = clock.now()
        """When a lane last did something or found nothing to do; seconds since the epoch."""

    @property
    def refused(self) -> str | None:
        """Why the configured chat refuses us, None while it does not."""
        lane = self._lanes.get(DEFAULT)
        return None if lane is None else lane.refused

    @property
    def pace(self) -> RateLimiter:
        """Of the chat of the configuration, for what goes past its lane."""
        lane = self._lanes.get(DEFAULT)
        return RateLimiter() if lane is None else lane.pace

    @property
    def transport(self) -> Transport:
        """The way to the chat of the configuration at present."""
        return self._transport

    def wake(self) -> None:
        """Something new is owed."""
        for event in self._wakes.values():
            event.set()
        self._changed.set()
        self._resting.clear()

    async def idle(self) -> None:
        """Returns when nothing is owed, or the other side makes us wait."""
        await self._resting.wait()

    def set_transport(
        self, transport: Transport, open_: Open | None = None, *, chat_id: int | None = None
    ) -> None:
        """Deliver through `transport` from now on; `open_` finds the way to other destinations.

        `chat_id`: of the chat that `transport` goes to; a negative one is a group, with a pace of its own.
        """
        self._transport, self._chat_id = transport, chat_id
        if open_ is not None:
            self._open = open_
        self._end_lanes()
        self._lanes.clear()
        self._known = None
        self.wake()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    self._changed.clear()
                    await self._find_lanes(group)
                    await _wait(self._changed, POLL_EVERY)
                    await asyncio.sleep(CALM)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                self._end_lanes()
                self._tasks.clear()

    async def reopen(self, chat_id: int) -> None:
        """The chat, or a chat that became it, takes messages again: end the rest of all its lanes at once."""
        for key, lane in list(self._lanes.items()):
            if lane.chat_id == chat_id and lane.reopen() and (wake := self._wakes.get(key)) is not None:
                wake.set()

    async def deliver_next(self, key: str = DEFAULT) -> float | None:
        """One step of one lane; the seconds to wait before the next, None if there is nothing to do."""
        await self._learn()
        return await self._lane(key).step()

    def _end_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.abandon()

    async def _find_lanes(self, group: asyncio.TaskGroup) -> None:
        """One lane for each destination to which something is owed, or has been, or that shows something."""
        await self._learn()
        owed = await self._room.until_available(lambda: notifications.pending_by_destination(self._pool))
        for key in {DEFAULT, *owed, *self._showing}:
            task = self._tasks.get(key)
            if task is None or task.done():
                self._tasks[key] = group.create_task(self._serve(key), name=f"lane {key or 'chat'}")

    async def _serve(self, key: str) -> None:
        wake = self._wakes.setdefault(key, asyncio.Event())
        while True:
            self._alive()
            wake.clear()
            self._busy.add(key)
            self._resting.clear()
            pause = await self._lane(key).step()
            if pause != 0.0:
                if not wake.is_set():
                    self._busy.discard(key)
                    if not self._busy:
                        self._resting.set()
                await _wait(wake, POLL_EVERY if pause is None else pause)

    async def _learn(self) -> None:
        if self._known is None:
            since = self._clock.now() - REMEMBERED
            self._calls = await self._room.until_available(lambda: destinations.read_calls(self._pool, since))
            self._showing = await self._room.until_available(lambda: living.read_places(self._pool))
            self._known = known = await self._room.until_available(lambda: destinations.read_all(self._pool))
            for key, row in known.items():
                if row.dead_since is None:  # perhaps the process before this one could not say so any more
                    self.on_dead(key, None)

    def _lane(self, key: str) -> DestinationWorker:
        lane = self._lanes.get(key)
        if lane is None:
            known = (self._known or {}).get(key)
            transport, chat_id = self._way(key)
            if known is None or known.chat_id != chat_id:
                known = DestinationRow(key=key, chat_id=chat_id)
            calls = [at for called, at in self._calls if self._chat_of(called) == chat_id]
            lane = self._lanes[key] = DestinationWorker(self._room, key, transport, known, calls)
        return lane

    def _way(self, key: str) -> tuple[Transport, int]:
        if key == DEFAULT:
            return self._transport, self._chat_id or 0
        found = self._open(key)
        return (self._room.console, 0) if found is None else found

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
