"""Answers and event streams, compressed with gzip where the client takes it (RFC 9110, 8.4 and 12.5.3)."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterable, Mapping

from aiohttp import web

GZIP = 16
"""Added to the window's size: a gzip header and trailer (zlib's manual, deflateInit2)."""
STREAM_WINDOW, STREAM_MEMORY = 13, 5
"""A small window and little memory for each open page: 24 kB instead of 256 (zconf.h)."""
PIECE = 65_536
"""Characters compressed before the loop gets its turn: a millisecond or two."""
SMALLEST = 1_000
"""Bytes that are worth compressing."""

_REFUSED = re.compile(r";\s*q=0(\.0*)?\s*$")


def takes_gzip(header: str) -> bool:
    """Whether `Accept-Encoding` names gzip, and not as refused."""
    return any(
        part.strip().partition(";")[0].strip().lower() in ("gzip", "x-gzip") and not _REFUSED.search(part)
        for part in header.split(",")
    )


async def answer(
    request: web.Request,
    pieces: Iterable[str],
    content_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The pieces as one text."""
    text = "".join(pieces)
    more = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", **(headers or {})}
    if len(text) < SMALLEST or not takes_gzip(request.headers.get("Accept-Encoding", "")):
        body = text.encode("utf-8", "replace")
    else:
        more["Content-Encoding"] = "gzip"
        body = await _gzip(text)
    return web.Response(body=body, status=status, content_type=content_type, charset="utf-8", headers=more)


async def _gzip(text: str) -> bytes:
    compressor = zlib.compressobj(wbits=GZIP + zlib.MAX_WBITS)
    parts = []
    for start in range(0, len(text), PIECE):
        if start:
            await asyncio.sleep(0)
        parts.append(compressor.compress(text[start : start + PIECE].encode("utf-8", "replace")))
    return b"".join((*parts, compressor.flush()))


class EventStream:
    """Server-sent events (https://html.spec.whatwg.org/#server-sent-events); each leaves at once."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._compressor: zlib._Compress | None = None
        headers = {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store, no-transform",
            "Vary": "Accept-Encoding",
            "X-Accel-Buffering": "no",
        }
        if takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            self._compressor = zlib.compressobj(wbits=GZIP + STREAM_WINDOW, memLevel=STREAM_MEMORY)
        self.response = web.StreamResponse(headers=headers)

    async def open(self) -> None:
        await self.response.prepare(self._request)

    async def send(self, name: str, data: str, identity: str) -> None:
        """`data` has no line end. `identity`: what the browser gives back when it connects anew."""
        event = f"event: {name}\nid: {identity}\ndata: {data}\n\n".encode("utf-8", "replace")
        if self._compressor is not None:
            event = self._compressor.compress(event) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self.response.write(event)
