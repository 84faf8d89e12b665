"""HTTP by the standard library, for messages that must not depend on the event loop."""

from __future__ import annotations

import urllib.request

from dozor.config.values.addresses import socks_of


def opener_for(proxy: str | None) -> urllib.request.OpenerDirector:
    """Through `proxy` (a checked `telegram.proxy`), or directly; never through the environment's proxies."""
    if (socks := socks_of(proxy)) is not None:
        from dozor.alerting.delivery.socks import SocksHandler  # brings libraries: only who needs them

        return urllib.request.build_opener(urllib.request.ProxyHandler({}), SocksHandler(socks))
    handler = urllib.request.ProxyHandler({} if proxy is None else {"http": proxy, "https": proxy})
    return urllib.request.build_opener(handler)
