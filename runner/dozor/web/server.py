"""The web server: health, metrics, the status page. A supervised service like the others."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from loguru import logger

from dozor.config.sections.config import ListenAddress
from dozor.language import msg
from dozor.process.forking import OwnedDescriptors
from dozor.web import api
from dozor.web.http import webhook
from dozor.web.http.access import Access, guard, names_of
from dozor.web.http.connections import BACKLOG, CONNECTIONS, RECEIVE_BUFFER, Connections, together
from dozor.web.live import PendingAlerts
from dozor.web.metrics.exposition import Metrics
from dozor.web.metrics.lag import LoopLag
from dozor.web.page import actions, live_page
from dozor.web.sources import SOURCES, Sources

TRY_AGAIN = 5.0
"""Seconds between attempts to take the port."""
LAST_WORDS = 1.0
"""Seconds that open requests get at the end."""

MALFORMED_EVERY = 60.0
"""Seconds between log lines about malformed requests."""
LINGER = 1.0
"""Seconds that an answered request whose body was not read is read on, so that the client gets the answer."""

_http_log = logging.getLogger("dozor.web.http")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


async def serve(
    listen: ListenAddress, sources: Sources, *, ready: Callable[[int], None] = lambda port: None
) -> None:
    """Serve without end. While the port is taken, log it once and try again.

    `ready` is called with the port once requests are answered.
    """
    sockets = await _listen(listen)
    port = int(sockets[0].getsockname()[1])
    lag = LoopLag()
    connections = Connections(sockets)
    access = Access(sources.token, sources.pool)
    runner = web.AppRunner(
        application(sources, lag, connections, access, names_of(listen, sources.hosts, *sources.urls)),
        access_log=None,
        shutdown_timeout=LAST_WORDS,
        lingering_time=LINGER,
        logger=_http_log,
    )
    await runner.setup()
    server = runner.server
    assert server is not None
    owned = OwnedDescriptors(connections.sockets)
    malformed = MalformedRequests()
    _http_log.addFilter(malformed)
    try:
        logger.info(msg("log-web-listening", address=ListenAddress(listen.host, port)))
        ready(port)
        await together(connections.run(server), lag.run(), access.run())
    finally:
        _http_log.removeFilter(malformed)
        connections.close()
        await runner.cleanup()
        await access.record_left()
        owned.release()


def application(
    sources: Sources, lag: LoopLag, connections: Connections, access: Access, names: frozenset[str]
) -> web.Application:
    """All routes over `sources`."""
    app = web.Application(
        client_max_size=16_384, middlewares=[connections.middleware, guard(names, sources.public, access)]
    )
    app[CONNECTIONS] = connections
    app.on_response_prepare.append(_secure)
    owed = PendingAlerts(sources.pool, sources.journal, sources.clock)
    app[SOURCES] = sources
    app.add_routes(
        [
            web.get("/metrics", Metrics(sources, owed, lag).handle),
            web.get("/healthz", api.healthz),
            web.get("/readyz", api.readyz),
            web.get("/health/tasks", api.health_tasks),
            web.get("/api/status", api.Status(sources, owed).handle),
            *live_page.routes(sources, app),
            *actions.routes(sources, access),
            *webhook.routes(sources),
        ]
    )
    return app


class MalformedRequests(logging.Filter):
    """Of what aiohttp logs, replaces the ERROR and traceback of each malformed request by a counting line."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._times = 0
        self._logged_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        self._times += 1
        if self._now() - self._logged_at >= MALFORMED_EVERY:
            self._logged_at = self._now()
            reason = str(error.message).partition("\n")[0][:100]
            logger.warning(msg("log-web-malformed", times=self._times, reason=reason))
            self._times = 0
        return False


async def _listen(listen: ListenAddress) -> list[socket.socket]:
    """Bind the port, on every address of the host."""
    said = False
    while True:
        try:
            return await asyncio.to_thread(_bind, listen)
        except OSError as error:
            if not said:
                logger.error("{}", _what_to_do(listen, error))
                said = True
            await asyncio.sleep(TRY_AGAIN)


def _bind(listen: ListenAddress) -> list[socket.socket]:
    """Listening sockets, not blocking. With port 0 all have the one that the first was given."""
    found = socket.getaddrinfo(
        listen.host or None, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    port = listen.port
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                end = socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
                    continue  # a kernel without IPv6
                raise
            sockets.append(end)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if family == socket.AF_INET6:
                end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            end.bind((address[0], port, *address[2:]))
            end.listen(BACKLOG)
            end.setblocking(False)
            port = end.getsockname()[1]
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except BaseException:
        for end in sockets:
            end.close()
        raise
    return sockets


def _what_to_do(listen: ListenAddress, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            what = msg("error-port-taken")
        case errno.EACCES | errno.EPERM:
            what = msg("error-port-permission")
        case errno.EADDRNOTAVAIL:
            what = msg("error-port-address")
        case _:
            what = msg("error-port-other", reason=error.strerror or error)
    return msg("error-web-listen", listen=listen, what=what, seconds=f"{TRY_AGAIN:.0f}")


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, errors included; what a handler has set itself stays."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
