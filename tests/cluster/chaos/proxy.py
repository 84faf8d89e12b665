"""A TCP link that can be cut without a word, refused, and slowed down."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum


class LinkState(StrEnum):
    """How the link is."""

    OPEN = "open"
    SILENT = "silent"
    """Connections stay open and are accepted, and nothing comes through any more, in either direction."""
    REFUSED = "refused"
    """Existing connections are reset, new ones are refused."""
    SLOW = "slow"
    """Answers come late."""


class Link:
    """Passes connections to `port` on `target`, of loopback. Not before `open`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._state = LinkState.OPEN
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Everything is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def become(self, state: LinkState, delay: float = 0.0) -> None:
        """`delay`: seconds by which answers are late, of SLOW."""
        before, self._state, self._delay = self._state, state, delay
        if state is LinkState.SILENT:
            self._passing.clear()
        elif before is LinkState.SILENT:
            self._cut()  # what was in flight is lost: a real link would have dropped the connections
            self._passing.set()
        if state is LinkState.REFUSED and self._server is not None:
            self._server.close()
            self._server = None
            self._cut()
        elif state is not LinkState.REFUSED and self._server is None:
            await self.open()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passing.wait()
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(ours)
        pumps = {
            asyncio.create_task(self._pump(reader, ours, answers=False)),
            asyncio.create_task(self._pump(theirs, writer, answers=True)),
        }
        self._pumps |= pumps
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._pumps -= pumps
        for end in (writer, ours):
            self._writers.discard(end)
            end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if answers and self._state is LinkState.SLOW:
                    await asyncio.sleep(self._delay)
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
