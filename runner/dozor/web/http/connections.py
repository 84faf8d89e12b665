"""The connections of the web server: how many there are, how long they take, how much of the loop they use.

The web server shares its event loop with supervision, alerts and the bot. Three limits keep its clients from
delaying those:

- A number of connections at once (`limit`). At the limit the oldest connection that waits for a request is
  closed for a new one, so that idle connections cannot keep a probe out. If every connection is being served,
  new ones wait in the kernel's queue.
- Deadlines: for the first complete request (`HEADERS_WITHIN`), an answer (`ANSWER_WITHIN`), and for taking
  the answer and sending the next request (`IDLE_FOR`).
- Requests are handed to the HTTP server one after the other, for at most `SHARE` of the loop's time.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, cast

from aiohttp import web

from dozor.errors import out_of_resources

LIMIT, LEAST = 768, 64
"""Connections at once: a quarter of the descriptors of the process, within these bounds."""
HEADERS_WITHIN = 10.0
"""Seconds from the connection to the first complete request."""
ANSWER_WITHIN = 60.0
"""Seconds a handler may take. Event streams are exempt (`Connection.keep_open`)."""
IDLE_FOR = 25.0
"""Seconds from the end of a handler until the client has taken the answer and sent the next request."""
SWEEP_EVERY = 1.0
"""Seconds between looks for connections past their deadline."""
TURN = 0.004
"""Seconds of requests handed over before the rest of the loop gets as much time as they have taken."""
SHARE = 0.4
"""The part of the loop's time that requests may take while more of them wait."""
RECEIVE_BUFFER = 16_384
"""Bytes of a connection that the kernel keeps unread."""
BACKLOG = 1_024
"""Connections that wait in the kernel to be accepted."""
ACCEPTED_AT_ONCE = 16
FIRST = (b"GET /healthz", b"GET /readyz", b"POST /telegram")
"""Requests that overtake the others: probes, and updates of the bot."""
REFUSED_PAUSE = 0.5
"""Seconds until the next attempt after the process or the system was out of descriptors or memory."""


class Connection(asyncio.Protocol):
    """Between a socket and aiohttp's handler of its requests: passes data on when it is this one's turn."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self.transport: asyncio.Transport | None = None
        self.deadline = 0.0
        self.waits = True
        """For a request; False: a request is being answered."""
        self.data: list[bytes] = []
        """Received, and not passed on yet."""
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.pause_reading()
        self.data.append(data)
        if len(self.data) == 1:
            self._connections.enqueue(self)

    def pass_on(self) -> None:
        """Hand over what was received."""
        data, self.data = b"".join(self.data), []
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()  # first: the handler may want it paused again
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        self.transport = None
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    @property
    def idle(self) -> bool:
        """Every request so far is answered."""
        return self.waits and not self.data and self._unsent == 0

    @property
    def _unsent(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def keep_open(self) -> None:
        """The answer has no end: whoever sends it sees to its own time limits."""
        self.deadline = float("inf")

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Connections:
    """Of the sockets `listening`, which do not block."""

    def __init__(self, listening: list[socket.socket]) -> None:
        self.refused = 0
        """Times that a connection could not be accepted for lack of descriptors or memory."""
        self.limit = max(LEAST, min(LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._listening = listening
        self._all: dict[asyncio.Protocol, Connection] = {}
        """By aiohttp's handler, the oldest first."""
        self._ready: deque[Connection] = deque()
        self._some_ready = asyncio.Event()
        self._one_less = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    async def run(self, serve: Callable[[], asyncio.Protocol]) -> None:
        """Accept for ever; `serve` makes the handler of a connection."""
        accepting = [self._accept(end, serve) for end in self._listening]
        await together(self._hand_over(), self._sweep(), *accepting)

    def sockets(self) -> Iterator[int]:
        """The descriptors of all of it."""
        for end in self._listening:
            yield end.fileno()
        for connection in self._all.values():
            if connection.transport is not None:
                yield connection.transport.get_extra_info("socket").fileno()

    def close(self) -> None:
        """Take no more. What is being answered is left to the HTTP server."""
        for end in self._listening:
            end.close()

    def of(self, request: web.Request) -> Connection | None:
        return self._all.get(cast("asyncio.Protocol", request.protocol))

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Sets the deadlines of a request."""
        connection = self.of(request)
        if connection is None:
            return await handler(request)
        now = asyncio.get_running_loop().time
        connection.waits, connection.deadline = False, now() + ANSWER_WITHIN
        try:
            return await handler(request)
        finally:
            connection.waits, connection.deadline = True, now() + IDLE_FOR

    # -- for a connection

    def add(self, connection: Connection) -> None:
        connection.deadline = asyncio.get_running_loop().time() + HEADERS_WITHIN
        self._all[connection.inner] = connection

    def remove(self, connection: Connection) -> None:
        self._all.pop(connection.inner, None)
        self._one_less.set()

    def enqueue(self, connection: Connection) -> None:
        if connection.data[0].startswith(FIRST):
            self._ready.appendleft(connection)
        else:
            self._ready.append(connection)
        self._some_ready.set()

    # -- inside

    async def _accept(self, listening: socket.socket, serve: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        ends: deque[socket.socket] = deque()
        try:
            while True:
                await self._make_room(1)
                await _readable(listening)
                try:
                    while len(ends) <= ACCEPTED_AT_ONCE:
                        ends.append(listening.accept()[0])
                except OSError as error:  # BlockingIOError: no more wait
                    if not ends and out_of_resources(error):
                        self.refused += 1
                        await asyncio.sleep(REFUSED_PAUSE)
                await self._make_room(len(ends))
                while ends:
                    ends[0].setblocking(False)
                    try:
                        await loop.connect_accepted_socket(lambda: Connection(self, serve()), ends[0])
                    except OSError:
                        ends[0].close()
                    ends.popleft()
        finally:  # cancelled: what was accepted and has no handler yet
            for end in ends:
                end.close()

    async def _make_room(self, wanted: int) -> None:
        """Close the idle connections that are the oldest, until `wanted` more fit in."""
        while (surplus := len(self._all) + wanted - self.limit) > 0:
            self._one_less.clear()
            idle = [one for one in self._all.values() if one.idle][:surplus]
            for connection in idle:
                connection.abort()
            await self._one_less.wait()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            now = loop.time()
            for connection in list(self._all.values()):
                if connection.deadline < now:
                    connection.abort()

    async def _hand_over(self) -> None:
        """One request after the other; after `TURN` the rest of the loop gets time of its own."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._ready:
                self._some_ready.clear()
                await self._some_ready.wait()
            began = loop.time()
            while self._ready:
                self._ready.popleft().pass_on()
                await asyncio.sleep(0)  # its handler begins
                await asyncio.sleep(0)  # and answers, if it waits for nothing
                took = loop.time() - began
                if took >= TURN:
                    await asyncio.sleep(took * (1 - SHARE) / SHARE)
                    began = loop.time()


async def _readable(end: socket.socket) -> None:
    """Until `end` can be read. Nothing is taken from it, so nothing is lost if this is cancelled."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(end, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(end)


CONNECTIONS = web.AppKey("connections", Connections)


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until one fails, and raise its error; the others are cancelled."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
