"""HTTP to the Bot API: explicit time-outs, a proxy, and errors that show whether the call was sent.

Errors of aiohttp name the address, and the address holds the token: they go no further than this file.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import certifi
from aiogram.client.bot import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError, TelegramRetryAfter
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType
from aiohttp import (
    AddrInfoType,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    InvalidURL,
    TCPConnector,
)

from dozor.alerting.delivery.socks import NoTunnelError, SocksConnector
from dozor.config.values.addresses import socks_of
from dozor.language import msg
from dozor.process.forking import own
from dozor_bot.telegram.server_time import ServerTime

CALL_TIMEOUT = 20.0
"""Seconds for a whole call, long polling apart."""
CONNECT_TIMEOUT = 8.0
DNS_CACHE = 60
SHORTEST_WAIT, LONGEST_WAIT = 1, 86_400
"""Seconds that a 429 makes a caller wait, whatever it says."""
TOO_MANY = 429
TRUST = ssl.create_default_context(cafile=certifi.where())
"""Made by the import, which happens in a thread: to read the certificates takes 30 ms."""
_NOT_SENT = (ClientConnectorError, ClientHttpProxyError, ConnectionTimeoutError, InvalidURL, NoTunnelError)


class NotSentError(TelegramNetworkError):
    """No connection came about: the call certainly had no effect."""


class NoAnswerError(TelegramNetworkError):
    """Sent, and no whole answer: the call may have been carried out."""


class ForeignAnswerError(TelegramNetworkError):
    """An answer that is not the Bot API's (a proxy's page, half a JSON), with its HTTP status."""

    def __init__(self, method: TelegramMethod[Any], message: str, status: int) -> None:
        super().__init__(method, message)
        self.status = status


def always() -> bool:
    """Without a cluster every call may be made."""
    return True


def _socket_of_this_process(address: AddrInfoType) -> socket.socket:
    """Closed in forked children: one of those would keep the connection to the Bot API open."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    own(made, lambda owner: (owner.fileno(),))
    return made


class Session(AiohttpSession):
    """One connection pool to one Bot API server."""

    def __init__(
        self,
        api_url: str,
        proxy: str | None = None,
        server_time: ServerTime | None = None,
        may_act: Callable[[], bool] = always,
    ) -> None:
        """`server_time` takes Telegram's time from every answer. `may_act` is called before each call.

        A call that it refuses fails with NotSentError.
        """
        self._may_act = may_act
        # Not AiohttpSession's own, which reads the certificates for a connector that is never made here.
        super(AiohttpSession, self).__init__(api=TelegramAPIServer.from_base(api_url), timeout=CALL_TIMEOUT)
        self._session: ClientSession | None = None
        self._socks = socks_of(proxy)
        self._http_proxy = proxy if self._socks is None else None
        self._server_time = server_time

    async def create_session(self) -> ClientSession:
        if self._session is None or self._session.closed:
            if self._socks is None:
                connector = TCPConnector(
                    ssl=TRUST, ttl_dns_cache=DNS_CACHE, socket_factory=_socket_of_this_process
                )
            else:
                connector = SocksConnector(self._socks, TRUST)
            self._session = ClientSession(connector=connector, proxy=self._http_proxy)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def make_request(
        self, bot: Bot, method: TelegramMethod[TelegramType], timeout: int | None = None
    ) -> TelegramType:
        """Raises aiogram's errors for the API's refusals and the three above for everything else."""
        if not self._may_act():
            raise NotSentError(method, msg("error-lease-over"))
        session = await self.create_session()
        url = self.api.api_url(token=bot.token, method=method.__api_method__)
        limits = ClientTimeout(total=timeout or self.timeout, sock_connect=CONNECT_TIMEOUT)
        form = self.build_form_data(bot=bot, method=method)
        failure: TelegramNetworkError
        try:
            async with session.post(url, data=form, timeout=limits, allow_redirects=False) as answer:
                status, body = answer.status, await answer.read()
                date, retry_after = answer.headers.get("Date"), answer.headers.get("Retry-After")
        except _NOT_SENT as error:
            failure = NotSentError(method, _describe(error))
        except (ClientError, TimeoutError, OSError) as error:
            failure = NoAnswerError(method, _describe(error))
        else:
            return self._read(bot, method, status, body, date, retry_after)
        raise failure  # outside the handler: without aiohttp's error as context

    def _read(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        status: int,
        body: bytes,
        date: str | None,
        retry_after: str | None,
    ) -> TelegramType:
        """`date` and `retry_after`: the headers."""
        try:
            data = json.loads(body)
        except ValueError:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("ok"), bool):
            seconds = _seconds(retry_after) if status == TOO_MANY else None
            if seconds is not None:
                raise TelegramRetryAfter(method, msg("error-not-bot-api", status=status), seconds)
            raise ForeignAnswerError(method, msg("error-not-bot-api", status=status), status)
        if self._server_time is not None:
            self._server_time.note(date)
        if not data["ok"]:
            status = _whole(data.get("error_code")) or status
            data = _refusal(data, status, retry_after)
        elif not 200 <= status < 300:
            raise ForeignAnswerError(method, msg("error-not-bot-api", status=status), status)
        elif data.get("result") is None and method.__api_method__.startswith("get"):
            raise ForeignAnswerError(method, msg("error-no-result"), status)
        try:
            response = self.check_response(
                bot=bot, method=method, status_code=status, content=json.dumps(data)
            )
        except ClientDecodeError:
            if not data["ok"] or method.__api_method__.startswith("get"):
                raise
            # It says that it was carried out. Repeated because of an unknown result, it would not end.
            return cast(TelegramType, {})
        return cast(TelegramType, response.result)


def _refusal(data: dict[str, Any], status: int, retry_after: str | None) -> dict[str, Any]:
    """In the types that aiogram expects; the seconds of a 429 may be in the header alone."""
    given = data.get("parameters")
    given = given if isinstance(given, dict) else {}
    parameters: dict[str, int] = {}
    seconds = _seconds(given.get("retry_after"))
    if seconds is None and status == TOO_MANY:
        seconds = _seconds(retry_after)
    if seconds is not None:
        parameters["retry_after"] = seconds
    if (chat_id := _whole(given.get("migrate_to_chat_id"))) is not None:
        parameters["migrate_to_chat_id"] = chat_id
    description = str(data.get("description") or f"HTTP {status}")
    return {"ok": False, "error_code": status, "description": description, "parameters": parameters}


def _seconds(value: object) -> int | None:
    """Whole seconds to wait, rounded up; None: it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if math.isnan(number):
        return None
    return math.ceil(min(max(number, SHORTEST_WAIT), LONGEST_WAIT))


def _whole(value: object) -> int | None:
    """An integer, or text of one; None: anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _describe(error: BaseException) -> str:
    """The kind of failure, without the address."""
    if isinstance(error, ClientConnectorError):
        return msg(
            "error-cannot-connect",
            host=error.host,
            port=error.port,
            reason=error.os_error.strerror or error.os_error,
        )
    if isinstance(error, ClientHttpProxyError):
        return msg("error-proxy-refused", status=error.status)
    if isinstance(error, NoTunnelError):
        return str(error)
    if isinstance(error, TimeoutError):
        return msg("error-timed-out")
    if isinstance(error, OSError) and error.strerror:
        return msg("error-connection-lost", reason=error.strerror)
    return type(error).__name__
