"""The HTTP session of a provider: answers of a bounded size, and no redirect to another place.

aiohttp takes `Authorization` off a request that is redirected to another host, and leaves every other header,
such as Toncenter's `X-Api-Key`. And two providers that redirect to one host are one: they must not confirm
each other.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from dozor.language import msg

MOST_BYTES: Final = 64 * 2**20
"""Of one answer, unpacked. A page of transactions has about 1 MB, a busy block some more."""
CHUNK: Final = 2**16


class BoundedResponse(aiohttp.ClientResponse):
    """`read` raises ClientPayloadError for a body of more than MOST_BYTES, and keeps no body."""

    async def read(self) -> bytes:
        body = bytearray()
        async for chunk in self.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                self.close()
                raise aiohttp.ClientPayloadError(msg("error-provider-too-large", most=str(MOST_BYTES)))
        return bytes(body)


def open_session(headers: dict[str, str], timeout: float) -> aiohttp.ClientSession:
    """headers: of every request, the key among them; timeout: seconds for one answer."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_elsewhere)
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=timeout),
        response_class=BoundedResponse,
        trace_configs=[tracing],
    )


async def _refuse_elsewhere(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    """Raises ClientError."""
    target = urljoin(str(redirect.url), redirect.response.headers.get("Location", ""))
    if not is_same_place(str(redirect.url), target):
        host = urlsplit(target).netloc.rpartition("@")[2]
        raise aiohttp.ClientError(msg("error-provider-redirect", host=host))


def is_same_place(url: str, target: str) -> bool:
    """Whether a redirect stays with the provider: the same host and port, or its https for http. Pure."""
    before, after = urlsplit(url), urlsplit(target)
    if before.hostname != after.hostname:
        return False
    if (before.scheme, after.scheme) == ("http", "https"):
        return True
    return (before.scheme, before.port) == (after.scheme, after.port)
