"""SOCKS5 proxies (RFC 1928, 1929) for aiohttp, and for the thread of emergency messages.

Names are resolved by the proxy, with `socks5://` as with `socks5h://`: where Telegram is blocked, DNS answers
of the local network may be forged. No error here holds the password.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectionError
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError, ProxyType
from python_socks import ProxyError as PlainProxyError
from python_socks.sync import Proxy

from dozor.config.values.addresses import Socks
from dozor.language import msg
from dozor.process.forking import own

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class NoTunnelError(ClientConnectionError):
    """The proxy gave no connection: nothing was sent. The text is the reason, without the address."""


class SocksConnector(ProxyConnector):
    """For aiohttp. Any failure before there is a connection is a NoTunnelError."""

    def __init__(self, socks: Socks, context: ssl.SSLContext | None = None) -> None:
        super().__init__(
            socks.host,
            socks.port,
            ProxyType.SOCKS5,
            socks.username,
            socks.password,
            rdns=True,
            ssl=context if context is not None else True,
        )

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        try:
            return await super().connect(req, traces, timeout)
        except (ProxyTimeoutError, TimeoutError):
            reason = _reason(TimeoutError())
        except (ProxyError, ProxyConnectionError, OSError, EOFError, ValueError) as error:
            reason = _reason(error)
        raise NoTunnelError(reason)

    async def _wrap_create_connection(self, *args: Any, **options: Any) -> Any:
        """As the library does it; forked children do not keep the connection open."""
        transport, protocol = await super()._wrap_create_connection(*args, **options)
        own(transport, lambda owner: (owner.get_extra_info("socket").fileno(),))
        return transport, protocol


class SocksHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """For urllib."""

    def __init__(self, socks: Socks) -> None:
        super().__init__()
        self._socks = socks

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Plain, self._socks), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Encrypted, self._socks), request)


class _Plain(http.client.HTTPConnection):
    def __init__(self, socks: Socks, host: str, *, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._socks, self._seconds = socks, timeout

    def connect(self) -> None:
        self.sock = _tunnel(self._socks, self.host, self.port, self._seconds)


class _Encrypted(http.client.HTTPSConnection):
    def __init__(self, socks: Socks, host: str, *, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._socks, self._seconds = socks, timeout

    def connect(self) -> None:
        plain = _tunnel(self._socks, self.host, self.port, self._seconds)
        try:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _tunnel(socks: Socks, host: str, port: int, timeout: float) -> socket.socket:
    """A connection through the proxy; `timeout` in seconds for each of its steps. Raises OSError."""
    proxy = Proxy(ProxyType.SOCKS5, socks.host, socks.port, socks.username, socks.password, rdns=True)
    try:
        return proxy.connect(host, port, timeout=timeout)
    except (PlainProxyError, OSError, ValueError) as error:
        raise OSError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    """Only the library's text: what the proxy sent is not repeated."""
    if isinstance(error, TimeoutError):
        return msg("log-socks-timeout")
    if isinstance(error, ProxyError | PlainProxyError | ProxyConnectionError):
        text = str(error.args[-1]) if error.args else ""
        return msg("log-socks-text", text=text or type(error).__name__)
    if isinstance(error, ssl.SSLError):
        return msg("log-socks-tls", reason=error.reason or type(error).__name__)
    if isinstance(error, OSError):
        return msg("log-socks-os", reason=error.strerror or type(error).__name__)
    if isinstance(error, EOFError):
        return msg("log-socks-closed")
    return msg("log-socks-foreign")
