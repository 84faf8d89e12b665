"""`POST /telegram`: passes webhook updates on to the bot. Only with `telegram.webhook`."""

from __future__ import annotations

import asyncio

from aiohttp import web

from dozor.web.sources import Sources

PATH = "/telegram"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 -- the header's name
BODY_MAX = 1_000_000
"""Bytes; an update is a few thousand."""
BODY_WITHIN = 10.0
"""Seconds in which the whole body must arrive."""


def routes(sources: Sources) -> list[web.RouteDef]:
    """None without a webhook: then nothing answers there."""
    receive = sources.webhook
    if receive is None:
        return []

    async def handle(request: web.Request) -> web.Response:
        secret = request.headers.get(SECRET_HEADER, "")
        if sources.webhook_admits is not None and not sources.webhook_admits(secret):
            return _refusal(403)  # before anything of the body is read
        if (request.content_length or 0) > BODY_MAX:
            return _refusal(413)
        try:
            async with asyncio.timeout(BODY_WITHIN):
                body = await _read(request)
        except TimeoutError:
            return _refusal(408)
        return _refusal(413) if body is None else web.Response(status=await receive(body, secret))

    return [web.post(PATH, handle)]


async def _read(request: web.Request) -> bytes | None:
    """None: more than `BODY_MAX` bytes."""
    body = bytearray()
    while more := await request.content.read(BODY_MAX + 1 - len(body)):
        body += more
        if len(body) > BODY_MAX:
            return None
    return bytes(body)


def _refusal(status: int) -> web.Response:
    """The rest of the body is not waited for."""
    response = web.Response(status=status)
    response.force_close()
    return response
