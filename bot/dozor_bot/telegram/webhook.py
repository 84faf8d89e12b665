"""Receives updates by webhook, through our own web server: the alternative to polling."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from dozor.alerting.model.safe_text import shorten
from dozor.language import msg

ANSWER_WITHIN = 40.0
"""Seconds in which an update must be stored. Telegram waits longer, and then brings it again."""
WAITING = 200
"""Updates that wait; beyond it Telegram gets an error and sends again later."""
OK, FORBIDDEN, NONSENSE, BUSY = 200, 403, 400, 503


def secret_of(token: str) -> str:
    """What Telegram must send along (X-Telegram-Bot-Api-Secret-Token), made from the bot's token."""
    return hmac.new(token.encode(), b"dozor webhook", hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Brought:
    """An update, and whether it is stored."""

    raw: dict[str, Any]
    stored: asyncio.Future[None]


@dataclass
class Inbox:
    """Between the web server and whoever handles updates."""

    secret: str
    _waiting: asyncio.Queue[Brought] = field(default_factory=lambda: asyncio.Queue(WAITING))

    def admits(self, secret: str) -> bool:
        """Whether a request with this secret header comes from Telegram. Compared in constant time."""
        return hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode())

    async def receive(self, body: bytes, secret: str) -> int:
        """The HTTP status for Telegram; 200 only once the update is stored, so that none is lost."""
        if not self.admits(secret):
            return FORBIDDEN
        try:
            raw = json.loads(body)
        except (ValueError, RecursionError):
            return NONSENSE
        if not isinstance(raw, dict) or type(raw.get("update_id")) is not int:
            return NONSENSE
        brought = Brought(raw, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(brought)
            async with asyncio.timeout(ANSWER_WITHIN):
                await brought.stored
        except (asyncio.QueueFull, TimeoutError):
            return BUSY
        return OK

    async def take(self, within: float) -> list[Brought]:
        """All that wait; nothing if none comes `within` seconds."""
        try:
            async with asyncio.timeout(within):
                taken = [await self._waiting.get()]
        except TimeoutError:
            return []
        while not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
        return taken


def trouble_of(info: dict[str, Any], url: str, now: float) -> str | None:
    """The present error of `getWebhookInfo`; None: none."""
    if info.get("url") != url:
        return msg("error-another-webhook")
    failed_at = info.get("last_error_date")
    if isinstance(failed_at, int) and now - failed_at < 120 and info.get("pending_update_count"):
        said = shorten(str(info.get("last_error_message") or msg("error-no-reason-given")), 200)
        return msg("error-webhook-unreachable", reason=said)
    return None
