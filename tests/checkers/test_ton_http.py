"""What a provider's HTTP server may do: too much, too slowly, half of it, or send us elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_WALLET
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ton.providers import http
from dozor_market.ton.providers.http import is_same_place
from dozor_market.ton.providers.port import ProviderKind, ProviderOptions, open_providers
from dozor_market.ton_deposits import DepositsError, check_transactions
from tests.checkers.town import CENT, Town, open_town

KEY = "the-key-of-the-first"


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        town.chain.transfer(CENT, "INV-1")
        yield town


class Recording(Toncenter):
    """Keeps the headers of the requests."""

    keys: list[str | None]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("X-Api-Key"))
        return await super().answer(request)


async def test_a_redirect_to_another_host_is_not_followed_and_the_key_stays(town: Town) -> None:
    target = Recording(town.chain)
    target.keys = []
    provider, url = await town.provider()
    async with serve(target) as elsewhere:
        location = f"{elsewhere}/getTransactions?address=0:{'0a' * 32}&limit=100"
        provider.faults.append(lambda _: web.Response(status=302, headers={"Location": location}))
        with pytest.raises(DepositsError, match="redirected to 127"):
            await check_transactions(
                town.context,
                providers=[{"kind": "toncenter", "url": url, "api_key": KEY}],
                wallet=f"0:{'0a' * 32}",
            )
    assert target.keys == []
    assert await town.pool.fetchval("SELECT count(*) FROM market.deposits") == 0


@pytest.mark.parametrize(
    ("url", "target", "same"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a/x", "https://a/x", True),
        ("http://a:8081/x", "https://a/x", True),
        ("https://a/x", "http://a/x", False),
        ("https://a/x", "https://b/x", False),
        ("https://a/x", "https://a:8443/x", False),
        ("https://a/x", "https://a.evil/x", False),
        ("https://a/x", "https://a@b/x", False),
    ],
)
def test_where_a_redirect_stays_with_the_provider(url: str, target: str, same: bool) -> None:
    assert is_same_place(url, target) is same


async def test_an_answer_without_end_costs_bounded_memory_and_is_the_providers_failure(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 100_000)
    huge, url = await town.provider()
    bomb = gzip.compress(b" " * 5_000_000 + json.dumps({"ok": True, "result": []}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    huge.faults.extend([lambda _: web.Response(body=bomb, headers=headers)] * 2)
    with pytest.raises(DepositsError, match="more than 100000 bytes"):
        await town.check(url)
    honest = [(await town.provider())[1] for _ in range(2)]
    await town.check(url, *honest)
    assert await town.balance() == CENT


async def test_an_answer_that_drips_is_given_up_and_the_others_go_on(town: Town) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.2)
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", drip)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        slow = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2"
        began = time.monotonic()
        honest = [(await town.provider())[1] for _ in range(2)]
        await check_transactions(
            town.context,
            providers=[
                {"kind": "toncenter", "url": url, "rps": 10_000, "timeout": 0.5 if url == slow else 10}
                for url in (slow, *honest)
            ],
            wallet=OUR_WALLET.to_str(),
            behind_after=None,
        )
        assert time.monotonic() - began < 60
    finally:
        await runner.cleanup()
    assert await town.balance() == CENT


@pytest.mark.parametrize("kind", ["toncenter", "tonapi"])
async def test_the_key_is_sent_to_the_provider(kind: str) -> None:
    seen: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        return web.json_response({"ok": True, "result": [], "transactions": []})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
        option = ProviderOptions(ProviderKind(kind), url, KEY)
        async with open_providers([option], testnet=False) as providers:
            await providers.ask_each(f"0:{'0a' * 32}", None, lambda raw: None)
    finally:
        await runner.cleanup()
    (headers,) = seen
    assert KEY in (headers.get("X-Api-Key", "") + headers.get("Authorization", ""))
