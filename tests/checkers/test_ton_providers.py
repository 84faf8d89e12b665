"""The other providers of tonutils behind the same port, and one taking over from another within a history."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dozor_market.demo.chain import OUR_WALLET, Chain, raw
from dozor_market.demo.toncenter import Toncenter, body, serve
from dozor_market.ton.messages.transactions import Position, Receipt
from dozor_market.ton.providers.port import (
    ProviderKind,
    ProviderOptions,
    ProvidersFailedError,
    open_providers,
)
from dozor_market.ton.reader import START, News, Wallet

WALLET = Wallet(raw(OUR_WALLET), None, 0, {})
KEY = "a-secret-key"


class Tonapi:
    """A stand-in of TonAPI's account transactions."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.keys: set[str] = set()
        self.spoiled: dict[str, Any] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization", ""))
        before = int(request.query.get("before_lt", 2**63))
        limit = int(request.query["limit"])
        found = [entry for entry in self.chain.entries if entry.lt < before][-limit:][::-1]
        transactions = [{"raw": base64.b64decode(entry.data).hex()} for entry in found]
        return web.json_response(self.spoiled or {"transactions": transactions})


@asynccontextmanager
async def serve_tonapi(tonapi: Tonapi) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/v2/blockchain/accounts/{account}/transactions", tonapi.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v2"
    await runner.cleanup()


async def read_all(*options: ProviderOptions, cursor: Position = START, kept_pages: int = 9) -> list[Receipt]:
    async with open_providers(options, testnet=False) as providers:
        news = News(providers, WALLET, cursor, kept_pages=kept_pages)
        await news.find()
        return [receipt async for block in news.blocks() for receipt in block]


def chain_of(count: int) -> Chain:
    chain = Chain()
    for number in range(count):
        chain.transfer(1000 + number, f"INV-{number}")
    return chain


def amounts(receipts: list[Receipt]) -> list[int]:
    return [receipt.amount for receipt in receipts]


async def test_tonapi_gives_the_same_history_by_logical_time() -> None:
    tonapi = Tonapi(chain_of(250))
    async with serve_tonapi(tonapi) as url:
        option = ProviderOptions(ProviderKind.TONAPI, url, KEY, rps=10_000)
        everything = await read_all(option)
        assert amounts(everything) == list(range(1000, 1250))
        assert amounts(await read_all(option, cursor=everything[100].at)) == list(range(1101, 1250))
    assert tonapi.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "spoiled",
    [
        {"transactions": [{"raw": "zz"}]},
        {"transactions": [{"raw": "b5ee9c72"}]},
        {"transactions": ["text"]},
        {"transactions": 7},
        {"error": "sorry"},
    ],
)
async def test_nonsense_of_tonapi_is_its_failure_and_no_key_is_told(spoiled: dict[str, Any]) -> None:
    tonapi = Tonapi(chain_of(5))
    tonapi.spoiled = spoiled
    async with serve_tonapi(tonapi) as url:
        option = ProviderOptions(ProviderKind.TONAPI, url, KEY, rps=10_000)
        with pytest.raises(ProvidersFailedError) as failed:
            await read_all(option, cursor=Position(1, b"\x01" * 32))
    assert KEY not in str(failed.value)


async def test_a_history_begun_with_one_provider_is_finished_with_another() -> None:
    chain = chain_of(350)
    toncenter = Toncenter(chain)
    toncenter.faults.extend([None, None, *[body("gone")] * 99])
    async with serve(toncenter) as first, serve_tonapi(Tonapi(chain)) as second:
        receipts = await read_all(
            ProviderOptions(ProviderKind.TONCENTER, first, rps=10_000),
            ProviderOptions(ProviderKind.TONAPI, second, rps=10_000),
        )
    assert amounts(receipts) == list(range(1000, 1350))


async def test_a_history_longer_than_memory_is_fetched_again_page_by_page_and_nothing_is_lost() -> None:
    chain = chain_of(95)
    toncenter = Toncenter(chain)
    toncenter.page_limit = 10
    async with serve(toncenter) as url:
        option = ProviderOptions(ProviderKind.TONCENTER, url, rps=10_000)
        assert amounts(await read_all(option, kept_pages=2)) == list(range(1000, 1095))
        asked = toncenter.requests
        toncenter.page_limit = 7  # another provider's pages are of another size
        assert amounts(await read_all(option, kept_pages=1)) == list(range(1000, 1095))
    assert asked == 10 + 8


@pytest.mark.parametrize("url", ["https://toncenter.com/api/v2?api_key=x", "https://me:x@example.org"])
def test_a_key_in_the_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="api_key"):
        ProviderOptions(ProviderKind.TONCENTER, url)
