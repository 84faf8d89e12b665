"""A SOCKS5 proxy on loopback (RFC 1928, user and password by RFC 1929) that answers as a test wants."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

VERSION, AUTH_VERSION = 5, 1
ANONYMOUS, BY_PASSWORD, NOTHING = 0x00, 0x02, 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4


class SocksFault(Enum):
    """What goes wrong; a number is the reply code of RFC 1928."""

    REFUSED_BY_RULES = 0x02
    HOST_UNREACHABLE = 0x04
    CONNECTION_REFUSED = 0x05
    UNHEARD_OF = 0x5A
    """A reply code that is none."""
    NO_METHOD = "no method"
    HTTP = "http"
    """It is no SOCKS proxy at all."""
    HANG = "hang"
    """Accepts, and says nothing."""
    HANG_AT_CONNECT = "hang at connect"
    CLOSE = "close"
    """Accepts, and closes."""
    HALF_REPLY = "half a reply"
    NONSENSE_NAME = "nonsense name"
    """Success, bound to a name that is not text."""
    CUT_LATER = "cut later"
    """The tunnel stands, and is cut as soon as something was sent through it."""


class SocksProxy:
    """`users`: names and passwords, empty for everybody. `names`: what it alone can resolve."""

    def __init__(
        self, users: dict[str, str] | None = None, names: dict[str, tuple[str, int]] | None = None
    ) -> None:
        self.users = users or {}
        self.names = names or {}
        self.fault: SocksFault | None = None
        self.asked: list[tuple[int, str, int]] = []
        """Kind of address, host and port of each CONNECT."""
        self.refused_users: list[str] = []
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, user: str = "", scheme: str = "socks5") -> str:
        """`user`: "name:password"."""
        return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Every tunnel that stands."""
        for task in self._tasks:
            task.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match self.fault:
            case SocksFault.CLOSE:
                await reader.read(1024)
                return
            case SocksFault.HANG:
                await asyncio.Event().wait()
            case SocksFault.HTTP:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await writer.drain()
                await reader.read()
                return
        if not await self._admitted(reader, writer):
            await writer.drain()
            return
        version, command, _, kind = await reader.readexactly(4)
        assert (version, command) == (VERSION, CONNECT)
        host = await _host(reader, kind)
        [port] = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append((kind, host, port))
        await self._answer(host, port, reader, writer)

    async def _admitted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = BY_PASSWORD if self.users else ANONYMOUS
        if version != VERSION or wanted not in methods or self.fault is SocksFault.NO_METHOD:
            writer.write(bytes([VERSION, NOTHING]))
            return False
        writer.write(bytes([VERSION, wanted]))
        if not self.users:
            return True
        _, length = await reader.readexactly(2)
        name = (await reader.readexactly(length)).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        right = self.users.get(name) == password
        writer.write(bytes([AUTH_VERSION, 0 if right else 1]))
        if not right:
            self.refused_users.append(name)
        return right

    async def _answer(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match self.fault:
            case SocksFault.HANG_AT_CONNECT:
                await asyncio.Event().wait()
            case SocksFault.HALF_REPLY:
                writer.write(bytes([VERSION, 0]))
                return
            case SocksFault.NONSENSE_NAME:
                writer.write(bytes([VERSION, 0, 0, NAME, 2, 0xFF, 0xFE, 0, 0]))
                await writer.drain()
                await reader.read()
                return
            case SocksFault(value=int(code)):
                writer.write(bytes([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]))
                return
        host, port = self.names.get(host, (host, port))
        try:
            there_reader, there_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(bytes([VERSION, 0x04, 0, IPV4, 0, 0, 0, 0, 0, 0]))
            return
        writer.write(bytes([VERSION, 0, 0, IPV4, 127, 0, 0, 1, 0, 0]))
        if self.fault is SocksFault.CUT_LATER:
            await reader.read(1)
            there_writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pour(reader, there_writer))
                group.create_task(_pour(there_reader, writer))
        finally:
            there_writer.close()


async def _host(reader: asyncio.StreamReader, kind: int) -> str:
    match kind:
        case 1:
            return str(ipaddress.IPv4Address(await reader.readexactly(4)))
        case 4:
            return str(ipaddress.IPv6Address(await reader.readexactly(16)))
        case _:
            return (await reader.readexactly((await reader.readexactly(1))[0])).decode("idna")


async def _pour(source: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            into.write(data)
            await into.drain()
    into.close()


def closed_port() -> int:
    """Where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
