"""`POST /telegram`: what Telegram brings, handed on to the bot. Only with `telegram.webhook`."""

from __future__ import annotations

from aiohttp import web

from dozor.web.sources import Sources

PATH = "/telegram"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 -- the header's name
BODY_MAX = 1_000_000
"""Bytes; an update is a few thousand."""


def routes(sources: Sources) -> list[web.RouteDef]:
    """None without a webhook: then nothing answers there."""
    receive = sources.webhook
    if receive is None:
        return []

    async def handle(request: web.Request) -> web.Response:
        body = await request.content.read(BODY_MAX + 1)
        while len(body) <= BODY_MAX and (more := await request.content.read(BODY_MAX + 1 - len(body))):
            body += more
        if len(body) > BODY_MAX:
            return web.Response(status=413)
        return web.Response(status=await receive(body, request.headers.get(SECRET_HEADER, "")))

    return [web.post(PATH, handle)]
