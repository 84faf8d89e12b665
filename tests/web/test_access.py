"""Host header, `web.public`, guesses and their audit, over HTTP."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from yarl import URL

from dozor.config.sections.config import ListenAddress
from dozor.web.http import access
from dozor.web.http.access import BURST, Guesses, is_known_host, names_of
from tests.waiting import until
from tests.web.site import Site, Work, open_site

TOKEN = "a-token-of-the-tests-0123456789"
ONE = "one: {run: 'm:f', every: 1h}"
MORE = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}', hosts: [dozor.internal]}}"
NOTHING = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}', public: nothing}}"
GOOD = {"Authorization": f"Bearer {TOKEN}"}
AUDIT = "SELECT actor, action, target, result FROM dozor.audit ORDER BY id"
PATHS = (
    "/", "/task/one", "/api/task/one", "/api/bars?task=one", "/api/page", "/api/events", "/api/status",
    "/metrics", "/health/tasks", "/nowhere",
)  # fmt: skip


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("127.0.0.1:9464", True), ("10.1.2.3", True), ("[::1]:9464", True), ("localhost:9464", True),
        ("LOCALHOST.", True), ("status.example.com", True), ("dozor.internal:80", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("[::1", False),
        ("localhost@evil.example", False), ("evil.example:127", False),
    ],
)  # fmt: skip
def test_a_name_in_the_host_header_must_be_known(header: str, known: bool) -> None:
    listen = ListenAddress("127.0.0.1", 9464)
    names = names_of(listen, ("dozor.internal",), "https://status.example.com/x", None)
    assert is_known_host(header, names) is known


async def test_a_foreign_host_header_is_refused_everywhere_but_for_liveness(
    database: str, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        for path in PATHS:
            assert (await site.get(path, headers={"Host": "evil.example"}))[0] == 421, path
        assert (await site.get("/healthz", headers={"Host": "evil.example"}))[0] == 200
        assert (await site.get("/", headers={"Host": "dozor.internal"}))[0] == 200
        headers = {**GOOD, "Host": "evil.example"}
        async with site.http.post(f"{site.url}/api/tasks/one/pause", headers=headers) as answer:
            assert answer.status == 421


async def test_with_public_nothing_only_liveness_and_readiness_are_shown(
    database: str, tmp_path: Path, work: Work
) -> None:
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=NOTHING) as site:
        for path in PATHS:
            status, text = await site.get(path)
            assert status == 401, path
            assert "one" not in text.replace("nothing", ""), path
        assert (await site.get("/healthz"))[0] == 200
        _, ready = await site.get_json("/readyz")
        assert set(ready) == {"ready"}
        for headers in (GOOD, {"Authorization": f"Basic {basic}"}):
            assert (await site.get("/", headers=headers))[0] == 200
            assert (await site.get("/metrics", headers=headers))[0] == 200
        assert (await site.get("/", headers={"Authorization": "Basic !!"}))[0] == 401
        async with site.http.post(
            f"{site.url}/api/tasks/one/pause", headers={"Authorization": f"Basic {basic}"}
        ) as answer:
            assert answer.status == 401  # a browser sends it by itself, to a foreign page's request too


async def _pause(site: Site, token: str, task: str = "one") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with site.http.post(f"{site.url}/api/tasks/{task}/pause", headers=headers) as answer:
        return answer.status


async def test_each_action_is_one_row_of_the_audit(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        assert await _pause(site, TOKEN) == 200
        rows = await site.runner.pools.core.fetch(AUDIT)
        assert [tuple(row) for row in rows] == [("web:token", "pause", "one", "done")]


async def test_wrong_guesses_are_slowed_down_and_every_one_is_counted(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RECORDED_EVERY", 0.3)
    monkeypatch.setattr(
        access, "RATE", 0.0001
    )  # however long a busy machine takes, no further guess is allowed
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        statuses = [await _pause(site, f"guess-{number}") for number in range(40)]
        assert statuses.count(401) == BURST
        assert statuses.count(429) == 40 - statuses.count(401)
        assert await _pause(site, "another guess") == 429
        assert await _pause(site, TOKEN) == 200  # behind a proxy all people share one address
        assert await _pause(site, "yet another guess") == 429  # the right token did not reset the count
        counted = 0

        async def count() -> int:
            rows = await site.runner.pools.core.fetch(AUDIT)
            denied = [row["result"] for row in rows if row["result"].startswith("denied")]
            return sum(int(text.split()[1]) if "," in text else 1 for text in denied)

        async with asyncio.timeout(10):
            while counted != 42:
                counted = await count()
                await asyncio.sleep(0.05)


def test_an_address_that_waits_is_compared_again() -> None:
    guesses = Guesses()
    for _ in range(int(BURST)):
        assert not guesses.blocked("a", 0.0)
        guesses.wrong("a", 0.0)
    assert guesses.blocked("a", 0.5)
    assert not guesses.blocked("b", 0.5)
    assert not guesses.blocked("a", 2.0)


async def test_odd_bytes_in_a_name_are_not_found(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        await until(lambda: work.runs > 0)
        for name in ("%ff%fe", "%00", "a%0Ab", "%F0%9F", "%ED%A0%80", "..%2f..%2fetc"):
            url = URL(f"{site.url}/api/tasks/{name}/pause", encoded=True)
            async with site.http.post(url, headers=GOOD) as answer:
                assert answer.status == 404, name
            for path in (f"/task/{name}", f"/api/task/{name}"):
                async with site.http.get(URL(site.url + path, encoded=True)) as answer:
                    assert answer.status in (400, 404), path
