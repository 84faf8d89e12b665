"""Webhook mode: an update is stored before it is answered with 200, once, and only with the secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from dozor.clock import SteadyClock
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor.web.http import webhook
from dozor.web.sources import Sources
from dozor_bot.app import build_bot
from dozor_bot.telegram.webhook import BUSY, FORBIDDEN, NONSENSE, OK, Inbox, secret_of, trouble_of
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, ZONE, Running, configure, on_the_loop
from tests.bot.executor import Executor

URL = "https://dozor.example.com/telegram"


@on_the_loop()
async def brought(api: BotApi, pool: Pool, executor: Executor) -> AsyncIterator[Running]:
    config = configure(api, webhook=URL)
    running = Running(build_bot(config, pool, Language.RU, ZONE, SteadyClock()))
    await api.wait_until(lambda: api.world.webhook == URL, what="setWebhook")
    yield running
    await running.close()


@on_the_loop()
async def address(brought: Running) -> AsyncIterator[str]:
    """Our web server's route alone."""
    assert brought.poller.inbox is not None
    sources = object.__new__(Sources)
    object.__setattr__(sources, "webhook", brought.poller.inbox.receive)
    object.__setattr__(sources, "webhook_admits", brought.poller.inbox.admits)
    app = web.Application(client_max_size=16_384)
    app.add_routes(webhook.routes(sources))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/telegram"
    await runner.cleanup()


async def _post(address: str, body: bytes, secret: str) -> int:
    headers = {webhook.SECRET_HEADER: secret}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(address, data=body, headers=headers) as answer,
    ):
        return answer.status


async def test_an_update_is_answered_stored_and_carried_out_once(
    api: BotApi, pool: Pool, executor: Executor, brought: Running, address: str
) -> None:
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    api.world.say(ADMIN, "/restart presales")
    body = json.dumps(api.world.updates[-1]).encode()
    secret = secret_of(api.token)
    assert [await _post(address, body, secret) for _ in range(3)] == [OK] * 3
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)), what="the answer")
    assert "presales перезапущена" in api.world.sent(ADMIN)[0].text
    assert len(executor.done) == 1
    assert await pool.fetchval("SELECT count(*) FROM dozor.telegram_updates") == 1
    assert brought.poller.last_success is not None
    assert api.calls_of("getUpdates") == []
    [call] = api.calls_of("setWebhook")
    assert call.params["secret_token"] == secret


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        (b'{"update_id": 1}', "", FORBIDDEN),
        (b'{"update_id": 1}', "wrong \xe9", FORBIDDEN),
        (b"{", None, NONSENSE),
        (b"[]", None, NONSENSE),
        (b'{"update_id": "1"}', None, NONSENSE),
        (b"[" * 100_000, None, NONSENSE),
        (b"x" * 1_000_001, None, 413),
    ],
)
async def test_what_is_not_telegrams_is_refused(
    api: BotApi, pool: Pool, address: str, body: bytes, secret: str | None, status: int
) -> None:
    assert await _post(address, body, secret_of(api.token) if secret is None else secret) == status
    assert await pool.fetchval("SELECT count(*) FROM dozor.telegram_updates") == 0


async def test_the_secret_is_checked_before_the_body_is_read(
    api: BotApi, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(address)

    async def answer(secret: str, body: bytes) -> str:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{webhook.SECRET_HEADER}: {secret}\r\n"
        writer.write(head.encode() + b"Content-Length: 900000\r\n\r\n" + body)
        try:
            async with asyncio.timeout(5):
                return (await reader.readline()).decode()[9:12]
        finally:
            writer.close()

    assert await answer("wrong", b"") == "403"  # nothing of the body has been sent
    monkeypatch.setattr(webhook, "BODY_WITHIN", 0.2)
    assert await answer(secret_of(api.token), b"{") == "408"  # the body was waited for


async def test_what_cannot_be_stored_now_is_brought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor_bot.telegram.webhook.ANSWER_WITHIN", 0.05)
    inbox = Inbox("s", asyncio.Queue(1))
    assert await inbox.receive(b'{"update_id": 1}', "s") == BUSY
    assert await inbox.receive(b'{"update_id": 2}', "s") == BUSY
    assert [one.raw["update_id"] for one in await inbox.take(1.0)] == [1]
    assert await inbox.take(0.01) == []


def test_what_telegram_says_of_the_webhook() -> None:
    well = {"url": URL, "pending_update_count": 0, "last_error_date": 100}
    assert trouble_of(well, URL, 110.0) is None
    failing = {**well, "pending_update_count": 3, "last_error_message": "SSL error"}
    assert trouble_of(failing, URL, 110.0) == "Telegram cannot reach telegram.webhook: SSL error"
    assert trouble_of(failing, URL, 1000.0) is None
    assert "two programs" in (trouble_of({**well, "url": "https://other"}, URL, 110.0) or "")
