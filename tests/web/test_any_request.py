"""Whatever is sent to the web server, it answers without an error of its own, and goes on answering.

20 requests, 60 in `make soak`; `DOZOR_EXAMPLES=2000` for the whole campaign.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.effort import cases
from tests.web.site import Site, Work, open_site

EXAMPLES = cases(20, 60, variable="DOZOR_EXAMPLES")
TOKEN = "token-of-the-page-0123456789"
MORE = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}"
ONE = "one: {run: 'm:f', every: 1h}"

WORDS = st.one_of(
    st.text(max_size=10),
    st.sampled_from(
        ["one", "1", "-1", "9" * 30, "..", "%00", "%zz", "restart", "ack", "\x00", "\ud800", "NaN", "null",
         "1e400", "24h", "0", "true", "en", "ru"]
    ),
)  # fmt: skip
PLACES = st.sampled_from(
    ["/", "/task/{}", "/api/page", "/api/task/{}", "/api/why/{}", "/api/bars", "/api/status", "/metrics",
     "/healthz", "/readyz", "/health/tasks", "/api/tasks/{}/restart", "/api/tasks/one/{}",
     "/api/incidents/{}/ack", "/telegram/{}", "/{}", "//{}", "*"]
)  # fmt: skip
PARAMETERS = st.sampled_from(
    ["since", "after", "page", "state", "task", "q", "lang", "language", "period", "limit", "sort", "version"]
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X-Y"])
HEADERS = st.sampled_from(
    ["Accept-Language", "Cookie", "Content-Type", "Authorization", "If-None-Match", "Accept-Encoding",
     "X-Forwarded-For", "Range", "Origin", "Sec-Fetch-Site", "Last-Event-ID", "Transfer-Encoding",
     "Content-Length", "Expect", "Upgrade"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(st.characters(codec="latin-1"), max_size=20),
    st.sampled_from(
        [f"Bearer {TOKEN}", "Bearer x", "Basic !!!", "en;q=nan", "ru;q=1e400, *", "-1", "chunked", "gzip;q=x",
         "application/json", "bytes=-1-", "same-origin", "100-continue", "websocket"]
    ),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """The bytes of one request; mostly in form, with values of any kind."""
    path = draw(PLACES).replace("{}", _encoded(draw(WORDS), plain=draw(st.booleans())))
    query = "&".join(
        f"{draw(PARAMETERS)}={_encoded(draw(WORDS), plain=draw(st.booleans()))}"
        for _ in range(draw(st.integers(0, 3)))
    )
    lines = [f"{draw(METHODS)} {path}{'?' if query else ''}{query} HTTP/1.1", "Host: localhost"]
    if draw(st.booleans()):
        lines.append(f"Authorization: Bearer {TOKEN}")
    lines += [f"{draw(HEADERS)}: {draw(VALUES)}" for _ in range(draw(st.integers(0, 3)))]
    body = draw(st.binary(max_size=40))
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\nConnection: close\r\n\r\n" + body


def _encoded(text: str, *, plain: bool) -> str:
    return text if plain else quote(text.encode("utf-8", "surrogatepass"), safe="")


async def _ask(site: Site, request: bytes) -> bytes:
    """The answer; what a request begins that does not end (a stream of events, a body) is cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.runner.web_port)
    try:
        writer.write(request)
        writer.write_eof()
        async with asyncio.timeout(1):
            return await reader.read()
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


@pytest.mark.timeout(120 + EXAMPLES)
async def test_no_request_is_answered_with_an_error_of_the_server(
    database: str, tmp_path: Path, work: Work
) -> None:
    loop = asyncio.get_running_loop()
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:

        async def play(request: bytes) -> None:
            answer = await _ask(site, request)
            status = answer.split(b" ", 2)[1:2]
            assert status == [] or status[0] < b"500" or status[0] in {b"501", b"503", b"505"}, answer[:300]
            assert TOKEN.encode() not in answer

        @settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
        )
        @given(request=st.one_of(requests(), st.binary(max_size=80)))
        def any_request(request: bytes) -> None:
            asyncio.run_coroutine_threadsafe(play(request), loop).result(30)

        await asyncio.to_thread(any_request)
        assert (await site.get("/healthz"))[0] == 200
        assert (await site.get("/", headers={"Authorization": f"Bearer {TOKEN}"}))[0] == 200
