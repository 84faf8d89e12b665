"""Access to the web server: the Host header, the token, and the rate of token guesses.

A page of a foreign site can make a browser resolve the site's own name to this address (DNS rebinding). The
browser then sends that name in `Host`, which is why names that are not known are refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from loguru import logger
from pydantic import SecretStr

from dozor.config.sections.config import ListenAddress, WebPublic
from dozor.control.commands import audit
from dozor.control.commands.actor import Actor, Source
from dozor.language import msg
from dozor.storage.postgres.pool import Pool, unavailable

BURST, RATE = 10.0, 1.0
"""Wrong guesses of one address that are answered with 401 at once, and per second after that."""
BURST_OF_ALL, RATE_OF_ALL = 100.0, 10.0
"""The same of all addresses together."""
ADDRESSES = 1_000
"""Addresses remembered at once."""
RECORDED_EVERY = 10.0
"""Seconds of wrong guesses that make one audit row for each address."""
ADDRESSES_RECORDED = 20
"""Addresses with an audit row of their own in `RECORDED_EVERY`; the others share one."""
OTHERS = "others"
ALWAYS_OPEN = ("/healthz", "/readyz", "/telegram")
"""Without a token in any case: the first two reveal little, the last has a secret of its own."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def names_of(listen: ListenAddress, hosts: tuple[str, ...], *urls: str | None) -> frozenset[str]:
    """What `Host` may say: the name listened on, this machine's, `hosts` and those of `urls`."""
    found = {listen.host, "localhost", socket.gethostname(), *hosts}
    found.update(urlsplit(url).hostname or "" for url in urls if url)
    return frozenset(name.casefold().rstrip(".") for name in found if name)


def is_known_host(header: str, names: frozenset[str]) -> bool:
    """Whether `Host` names this server. A numeric address always does: a name is what rebinding needs."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.casefold().rstrip(".") in names
    return True


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def take(self, now: float, burst: float, rate: float) -> bool:
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


@dataclass(slots=True)
class Guesses:
    """Which wrong guesses are answered with 429. Pure but for what was guessed before."""

    _of: dict[str, _Bucket] = field(default_factory=dict)
    _all: _Bucket = field(default_factory=lambda: _Bucket(BURST_OF_ALL, 0.0))

    def blocked(self, address: str, now: float) -> bool:
        """Whether this address, or all together, have guessed wrong too often."""
        bucket = self._of.get(address)
        if bucket is not None and bucket.tokens + (now - bucket.at) * RATE < 1.0:
            return True
        return self._all.tokens + (now - self._all.at) * RATE_OF_ALL < 1.0

    def wrong(self, address: str, now: float) -> None:
        """A guess of this address was wrong."""
        bucket = self._of.pop(address, None) or _Bucket(BURST, now)
        bucket.take(now, BURST, RATE)
        self._of[address] = bucket
        if len(self._of) > ADDRESSES:
            del self._of[next(iter(self._of))]
        self._all.take(now, BURST_OF_ALL, RATE_OF_ALL)


@dataclass(slots=True)
class _Denied:
    action: str
    target: str
    times: int = 0


class Access:
    """The token, compared and guarded. `run` records what was denied."""

    def __init__(self, token: SecretStr | None, pool: Pool) -> None:
        self._token = token
        self._pool = pool
        self._guesses = Guesses()
        self._denied: dict[str, _Denied] = {}
        self._record_from = float("-inf")
        """When the next rows may be written, on the loop's clock."""
        self._some = asyncio.Event()

    async def check(self, request: web.Request, given: str, action: str, target: str) -> int | None:
        """None: `given` is the token. Else the status of a refusal: 401 wrong, 429 wrong too often.

        The right token is let in from an address that guesses as well: behind a proxy all people share one
        address. What keeps guessing hopeless is the length of the token, which has 16 characters at least.
        """
        if self._token is not None and _same(given, self._token.get_secret_value()):
            return None
        now, address = asyncio.get_running_loop().time(), request.remote or ""
        blocked = self._guesses.blocked(address, now)
        if not blocked:
            self._guesses.wrong(address, now)
        await self._deny(address, action, target)
        return 429 if blocked else 401

    async def run(self) -> None:
        """Write the audit rows, for ever: the first denial at once, those after it together."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            await asyncio.sleep(max(0.0, self._record_from - loop.time()))
            if self._denied:
                await self._record()

    async def record_left(self) -> None:
        """What is not written yet, at the end."""
        if self._denied:
            await self._record()

    async def _deny(self, address: str, action: str, target: str) -> None:
        if address not in self._denied and len(self._denied) >= ADDRESSES_RECORDED:
            address = OTHERS
        denied = self._denied.setdefault(address, _Denied(action, target[:64]))
        denied.action, denied.target = action, target[:64]
        denied.times += 1
        if asyncio.get_running_loop().time() >= self._record_from:
            await self._record()
        else:
            self._some.set()

    async def _record(self) -> None:
        denied, self._denied = self._denied, {}
        self._some.clear()
        self._record_from = asyncio.get_running_loop().time() + RECORDED_EVERY
        total = sum(one.times for one in denied.values())
        logger.warning(msg("log-web-wrong-token", times=total, place=next(reversed(denied))))
        try:
            async with asyncio.timeout(5.0), self._pool.acquire() as connection:
                for address, one in denied.items():
                    result = "denied" if one.times == 1 else f"denied, {one.times} attempts"
                    actor = Actor(Source.WEB, "nobody", address)
                    await audit.record(connection, actor, one.action, one.target, result)
        except Exception as error:
            if not unavailable(error):
                raise
            for address, one in denied.items():  # counted on, and written once the database is back
                self._denied.setdefault(address, _Denied(one.action, one.target)).times += one.times
            self._some.set()


def bearer(request: web.Request) -> str:
    """The token of an `Authorization: Bearer` header; text that is no token without one."""
    header = request.headers.get("Authorization", "")
    return header.removeprefix("Bearer ") if header.startswith("Bearer ") else f"not a bearer token: {header}"


def bearer_or_basic(request: web.Request) -> str:
    """That, or the password of `Authorization: Basic`, which a browser asks for by itself."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.casefold() != "basic":
        return bearer(request)
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "surrogateescape").partition(":")[2]
    except (binascii.Error, ValueError):
        return "not base64"


def guard(
    names: frozenset[str], public: WebPublic, access: Access
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The middleware that lets a request in or refuses it."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path != "/healthz" and not is_known_host(request.headers.get("Host", ""), names):
            return _refusal(421, msg("error-web-host"))
        acts = request.method == "POST"  # its handler asks for the token itself
        if public is WebPublic.STATUS or path in ALWAYS_OPEN or acts:
            return await handler(request)
        status: int | None = 401  # without a header nothing was guessed
        if "Authorization" in request.headers:
            status = await access.check(request, bearer_or_basic(request), "read", path)
        if status is None:
            return await handler(request)
        refusal = _refusal(status, msg("error-web-token"))
        refusal.headers["WWW-Authenticate" if status == 401 else "Retry-After"] = (
            'Basic realm="dozor", charset="UTF-8"' if status == 401 else "10"
        )
        return refusal

    return check


def _refusal(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers={"Cache-Control": "no-store"})


def _same(given: str, token: str) -> bool:
    """Compared in constant time, whatever the lengths."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest(),
        hashlib.sha256(token.encode()).digest(),
    )
