"""A stand-in of Toncenter's API v2 on loopback: real cells, and faults on demand.

A `Chain` is one account's history, built with ton-core; a `Toncenter` serves it as `getTransactions` does,
in the form of the real answers. For the demo, the tests and the benchmark.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from ton_core import Address

from dozor_market.demo.chain import Chain, Entry, raw
from dozor_market.demo.toncenter_state import ChainState

Fault = Callable[[list[dict[str, Any]]], web.StreamResponse | list[dict[str, Any]]]
"""What happens to one answer: another response altogether, or other transactions in it."""


class Toncenter(ChainState):
    """Serves chains. `faults` befall the next answers, one each; None in it lets one pass."""

    def __init__(self, *chains: Chain) -> None:
        super().__init__({raw(chain.address): chain for chain in chains})
        self.faults: deque[Fault | None] = deque()
        self.requests = 0
        self.latency = 0.0
        """Seconds each answer takes."""
        self.page_limit = 100

    def page(self, account: str, limit: int, start: tuple[int, bytes] | None) -> list[Entry]:
        """Newest first, from `start`, itself included."""
        entries = self.visible(account)
        end = len(entries)
        if start is not None:
            end = next((i for i in range(len(entries), 0, -1) if entries[i - 1].lt <= start[0]), 0)
            if end and (entries[end - 1].lt, entries[end - 1].hash) != start:
                end = 0
        return entries[max(0, end - limit) : end][::-1]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """getTransactions."""
        self.requests += 1
        if not self.allowed():
            return web.json_response({"ok": False, "error": "stand-in", "code": 429}, status=429)
        if self.latency:
            await asyncio.sleep(self.latency)
        query = request.query
        account = raw(Address(query["address"]))
        start = (int(query["lt"]), bytes.fromhex(query["hash"])) if "lt" in query else None
        limit = min(int(query.get("limit", "10")), self.page_limit)
        found = [entry.answer for entry in self.page(account, limit, start)]
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            result = fault(found)
            if isinstance(result, web.StreamResponse):
                return result
            found = result
        return web.json_response({"ok": True, "result": found})


def status(code: int) -> Fault:
    """An error of the provider, as Toncenter words it."""
    return lambda _: web.json_response({"ok": False, "error": "stand-in", "code": code}, status=code)


def half(found: list[dict[str, Any]]) -> web.StreamResponse:
    """An answer that ends in the middle."""
    whole = json.dumps({"ok": True, "result": found})
    return web.Response(text=whole[: len(whole) // 2], content_type="application/json")


def body(text: str) -> Fault:
    """Any other text in place of the answer."""
    return lambda _: web.Response(text=text, content_type="application/json")


@asynccontextmanager
async def serve(toncenter: Toncenter, port: int = 0) -> AsyncIterator[str]:
    """Listen on loopback; the address is what the checker's `providers` take as url."""
    application = web.Application()
    application.router.add_get("/api/v2/getTransactions", toncenter.answer)
    application.router.add_get("/api/v2/{method}", toncenter.answer_get)
    application.router.add_post("/api/v2/runGetMethod", toncenter.answer_run)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://127.0.0.1:{bound}/api/v2"
    finally:
        await runner.cleanup()
