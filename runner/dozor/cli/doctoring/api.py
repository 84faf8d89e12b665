"""Single calls to the Bot API, without aiogram. No error here holds the address: it holds the token."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp

from dozor.alerting.delivery.socks import NoTunnelError, SocksConnector
from dozor.config.sections.config import TelegramConfig
from dozor.config.values.addresses import socks_of
from dozor.language import msg

TIMEOUT = 10.0
"""Seconds for one call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: no answer of the Bot API came; `description` says why."""

    status: int
    result: Any
    description: str = ""
    migrated_to: int | None = None
    skew: float | None = None
    """Seconds our clock is ahead of theirs, give or take one; None if the answer had no time."""

    @property
    def ok(self) -> bool:
        return self.status == 200


class BotApi:
    """`async with BotApi(config) as api: await api.call("getMe")`."""

    def __init__(self, config: TelegramConfig) -> None:
        assert config.token is not None
        self._base = f"{config.api_url}/bot{config.token.get_secret_value()}/"
        proxy = None if config.proxy is None else config.proxy.get_secret_value()
        self._socks = socks_of(proxy)
        self._proxy = proxy if self._socks is None else None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = None if self._socks is None else SocksConnector(self._socks)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, **params: Any) -> Answer:
        """Raises nothing for what the other side does."""
        began = time.time()
        try:
            async with self._session.post(
                self._base + method, json=params, proxy=self._proxy, allow_redirects=False
            ) as response:
                body = await response.json(content_type=None)
                date = response.headers.get("Date")
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, None, _reason(error))
        if not isinstance(body, dict) or not isinstance(body.get("ok"), bool):
            return Answer(0, None, msg("error-not-bot-api", status=status))
        skew = _skew(date, (began + time.time()) / 2)
        if body["ok"]:
            return Answer(200, body.get("result"), skew=skew)
        parameters = body.get("parameters") or {}
        return Answer(
            int(body.get("error_code") or status),
            None,
            str(body.get("description") or f"HTTP {status}"),
            parameters.get("migrate_to_chat_id"),
            skew,
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return msg(
            "error-cannot-connect",
            host=error.host,
            port=error.port,
            reason=error.os_error.strerror or error.os_error,
        )
    if isinstance(error, NoTunnelError):
        return str(error)
    if isinstance(error, TimeoutError):
        return msg("doctor-no-answer", seconds=f"{TIMEOUT:.0f}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return msg("error-proxy-refused", status=error.status)
    if isinstance(error, ValueError):
        return msg("doctor-not-json")
    return type(error).__name__


def _skew(date: str | None, now: float) -> float | None:
    if date is None:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
    return now - (theirs + 0.5)  # the header has whole seconds
