"""Connections that send nothing, send slowly or come in numbers: what they cost, and what still works."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from pathlib import Path

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from dozor.web.http import connections
from dozor.web.http.reuse import LOAD, Reused
from dozor.web.page import live_page
from dozor.web.server import MalformedRequests
from tests.waiting import until
from tests.web.site import Site, Work, open_site

ONE = "one: {run: 'm:f', every: 1h}"


async def _idle(site: Site, number: int) -> list[asyncio.StreamReader]:
    readers = []
    for _ in range(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.runner.web_port)
        readers.append(reader)
        _WRITERS.append(writer)
    return readers


_WRITERS: list[asyncio.StreamWriter] = []
"""Kept, so that they stay open."""


@pytest.fixture(autouse=True)
async def _closed() -> None:
    _WRITERS.clear()


async def _is_closed(reader: asyncio.StreamReader, within: float = 5.0) -> bool:
    try:
        async with asyncio.timeout(within):
            return await reader.read() == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_idle_connections_beyond_the_limit_keep_nobody_out(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LIMIT", 64)
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        first = (await _idle(site, 1))[0]
        await _idle(site, 150)
        async with asyncio.timeout(5):
            assert (await site.get("/healthz"))[0] == 200
        assert await _is_closed(first)
        for writer in _WRITERS:
            writer.close()


async def test_a_request_that_does_not_come_in_time_ends_the_connection(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS_WITHIN", 0.2)
    monkeypatch.setattr(connections, "SWEEP_EVERY", 0.1)
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.runner.web_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert await _is_closed(reader)
        writer.close()


async def test_an_event_stream_outlives_the_deadline_of_an_answer(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(connections, "SWEEP_EVERY", 0.05)
    monkeypatch.setattr(live_page, "EVERY", 0.05)
    monkeypatch.setattr(live_page, "BEAT_EVERY", 0.05)
    async with (
        open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site,
        site.http.get(site.url + "/api/events") as stream,
        asyncio.timeout(10),
    ):
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began < 0.9:
            assert await stream.content.readline() != b""


class _Costly(connections.Connection):
    """Ten milliseconds of the loop for each request."""

    def pass_on(self) -> None:
        self.data = []
        _HANDED.append(time.perf_counter())
        while time.perf_counter() - _HANDED[-1] < 0.01:
            pass


_HANDED: list[float] = []


async def test_waiting_requests_leave_the_loop_most_of_its_time() -> None:
    _HANDED.clear()
    queue = connections.Connections([])
    handing = asyncio.create_task(queue.run(asyncio.Protocol))
    for _ in range(20):
        _Costly(queue, asyncio.Protocol()).data_received(b"GET / HTTP/1.1")
    began = time.perf_counter()
    late = 0.0
    while len(_HANDED) < 20:
        due = time.perf_counter() + 0.002
        await asyncio.sleep(0.002)
        late = max(late, time.perf_counter() - due)
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)
    assert time.perf_counter() - began > 20 * 0.01 / connections.SHARE * 0.9
    assert late < 0.2


async def test_probes_overtake_waiting_requests() -> None:
    queue = connections.Connections([])
    for request in (b"GET / HTTP/1.1", b"GET /metrics HTTP/1.1", b"GET /healthz HTTP/1.1"):
        _Costly(queue, asyncio.Protocol()).data_received(request)
    assert queue._ready[0].data == [b"GET /healthz HTTP/1.1"]


async def test_what_was_accepted_and_has_no_handler_is_closed_with_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        queue = connections.Connections([listening])
        queue.limit = 1  # no room for two: they wait for it
        clients = [socket.create_connection(listening.getsockname()) for _ in range(2)]
        running = asyncio.create_task(queue.run(asyncio.Protocol))
        with select.epoll() as unread:
            unread.register(listening, select.EPOLLIN)
            await until(lambda: not unread.poll(0))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for client in clients:
            with client:
                client.settimeout(10)
                assert client.recv(1) == b""


async def test_under_load_an_answer_is_made_once_a_second_and_fresh_without() -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    answers: Reused[None, int] = Reused()
    for number in range(1, LOAD + 1):
        assert await answers.get(None, make) == number
    for _ in range(1_000):
        await answers.get(None, make)
    assert made <= LOAD + 2
    together: Reused[None, int] = Reused()
    assert len(set(await asyncio.gather(*(together.get(None, make) for _ in range(5))))) == 1


async def test_an_answer_that_fails_is_not_kept() -> None:
    answers: Reused[None, int] = Reused()

    async def fail() -> int:
        raise ValueError("no")

    async def work() -> int:
        return 1

    with pytest.raises(ValueError, match="no"):
        await answers.get(None, fail)
    assert await answers.get(None, work) == 1


def test_malformed_requests_are_counted_and_logged_once_a_minute() -> None:
    now = 0.0
    log = MalformedRequests(lambda: now)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "Error handling request", (), None)
    assert log.filter(record)
    error = BadHttpMessage("no")
    record.exc_info = (type(error), error, None)
    assert not any(log.filter(record) for _ in range(100))
    assert log._times == 99
    now = 61.0
    log.filter(record)
    assert log._times == 0
