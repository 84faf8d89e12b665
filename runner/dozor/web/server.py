"""The web server: health, metrics, the status page. A supervised part like any other."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator

from aiohttp import web
from loguru import logger

from dozor.config.models import ListenAddress
from dozor.forking import OwnedDescriptors
from dozor.language import msg
from dozor.web import actions, api, live_page, webhook
from dozor.web.lag import LoopLag
from dozor.web.live import AlertsOwed
from dozor.web.metrics import Metrics
from dozor.web.sources import SOURCES, Sources

TRY_AGAIN = 5.0
"""Seconds between attempts to take the port."""
LAST_WORDS = 1.0
"""Seconds that open requests get at the end."""

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
    """Serve for ever. While the port is taken, say so once and go on trying.

    `ready` is called with the port once requests are answered.
    """
    lag = LoopLag()
    runner = web.AppRunner(application(sources, lag), access_log=None, shutdown_timeout=LAST_WORDS)
    await runner.setup()
    owned = OwnedDescriptors(lambda: _descriptors(runner))
    try:
        port = await _listen(runner, listen)
        logger.info(msg("log-web-listening", address=ListenAddress(listen.host, port)))
        ready(port)
        await lag.run()
    finally:
        await runner.cleanup()
        owned.release()


def application(sources: Sources, lag: LoopLag) -> web.Application:
    """All routes over `sources`."""
    app = web.Application(client_max_size=16_384)
    app.on_response_prepare.append(_secure)
    owed = AlertsOwed(sources.pool, sources.journal, sources.clock)
    app[SOURCES] = sources
    app[api.ALERTS_OWED] = owed
    app.add_routes(
        [
            web.get("/metrics", Metrics(sources, owed, lag).handle),
            web.get("/healthz", api.healthz),
            web.get("/readyz", api.readyz),
            web.get("/health/tasks", api.health_tasks),
            web.get("/api/status", api.status),
            *live_page.routes(sources, app),
            *actions.routes(sources),
            *webhook.routes(sources),
        ]
    )
    return app


def _descriptors(runner: web.AppRunner) -> Iterator[int]:
    """The sockets it listens on and those of its clients: a forked child would keep the port taken."""
    for site in runner.sites:
        for end in getattr(getattr(site, "_server", None), "sockets", ()):
            yield end.fileno()
    for connection in runner.server.connections if runner.server is not None else ():
        if connection.transport is not None:
            yield connection.transport.get_extra_info("socket").fileno()


async def _listen(runner: web.AppRunner, listen: ListenAddress) -> int:
    """Take the port; its number."""
    said = False
    while True:
        site = web.TCPSite(runner, listen.host or None, listen.port)
        try:
            await site.start()
        except OSError as error:
            if not said:
                logger.error("{}", _what_to_do(listen, error))
                said = True
            await site.stop()
            await asyncio.sleep(TRY_AGAIN)
        else:
            address = runner.addresses[0]
            return int(address[1])


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
