"""The page's acting part over plain HTTP, and the page without a browser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dozor.supervision.core.state import State
from dozor.web import live_page
from dozor.web.markup import join, tag
from tests.waiting import until
from tests.web.site import Site, Work, open_site

TOKEN = "a-token-of-the-tests-0123456789"
MORE = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}"
ONE = "one: {run: 'm:f', every: 1h}"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


async def post(site: Site, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with site.http.post(f"{site.url}/api/tasks/{path}", headers=headers) as answer:
        body = await answer.json()
        return answer.status, body["reason"]


async def test_commands_go_through_the_door_and_say_what_came_of_them(
    database: str, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        assert await post(site, "one/pause", GOOD) == (200, "done")
        task = site.runner.supervisor.find("one")
        assert task is not None
        assert task.state.state is State.PAUSED
        assert task.state.past.by == "web:token"
        assert await post(site, "one/pause", GOOD) == (200, "already")
        assert await post(site, "nobody/pause", GOOD) == (404, "unknown_task")
        assert await post(site, "one/explode", GOOD) == (404, "unknown_command")
        assert await post(site, "one/resume", GOOD) == (200, "done")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff\xfe"},
    ],
)
async def test_nothing_but_the_token_opens_the_door(
    database: str, tmp_path: Path, work: Work, headers: dict[str, str]
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        assert await post(site, "one/pause", headers) == (401, "denied")
        assert await site.runner.pools.core.fetchval("SELECT count(*) FROM dozor.commands") == 0
        assert await site.runner.pools.core.fetchval("SELECT count(*) FROM dozor.audit") == 1


async def test_guessing_does_not_fill_the_audit(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        for guess in range(20):
            await post(site, "one/pause", {"Authorization": f"Bearer {guess}"})
        assert await site.runner.pools.core.fetchval("SELECT count(*) FROM dozor.audit") == 1


async def test_another_site_cannot_make_the_browser_act(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        headers = {**GOOD, "Sec-Fetch-Site": "cross-site"}
        assert await post(site, "one/pause", headers) == (403, "cross_site")
        async with site.http.options(site.url + "/api/tasks/one/pause") as answer:
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_token_is_on_no_page_and_in_no_answer(database: str, tmp_path: Path, work: Work) -> None:
    work.error = ValueError(f"echo of {TOKEN}")
    tasks = "one: {run: 'm:f', every: 50ms, restart_delay: 50ms, max_consecutive_failures: 1}"
    async with open_site(tmp_path, database, {"one": work.run}, tasks=tasks, more=MORE) as site:
        await site.becomes("/health/tasks", 503)
        for path in ("/", "/api/status", "/metrics", "/readyz", "/health/tasks"):
            assert TOKEN not in (await site.get(path))[1], path


async def test_the_page_s_policy_allows_its_own_script_only(
    database: str, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        nonces = set()
        for _ in range(2):
            async with site.http.get(site.url) as answer:
                policy, text = answer.headers["Content-Security-Policy"], await answer.text()
            nonce = policy.partition("'nonce-")[2].partition("'")[0]
            nonces.add(nonce)
            assert "unsafe" not in policy
            assert text.count(f'nonce="{nonce}"') == 2
            assert "http://" not in text
            assert "https://" not in text
        assert len(nonces) == 2


async def test_open_pages_are_limited_and_counted_down(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "STREAMS", 1)
    monkeypatch.setattr(live_page, "EVERY", 0.02)
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        stream = await site.http.get(site.url + "/api/events")
        assert (await stream.content.readline()) == b"event: tasks\n"
        assert (await site.get("/api/events"))[0] == 503
        stream.close()

        async def open_again() -> int:
            async with site.http.get(site.url + "/api/events") as answer:
                return answer.status

        async with asyncio.timeout(10):
            while await open_again() != 200:  # noqa: ASYNC110 -- another process's answer
                await asyncio.sleep(0.05)


async def test_ten_thousand_tasks_show_the_troubled_first_and_the_rest_by_name(
    database: str, tmp_path: Path, work: Work
) -> None:
    bad = Work()
    bad.error = ValueError("no")
    names = [f"task_{number}" for number in range(300)]
    tasks = "\n".join(f"{name}: {{run: 'm:f', every: 1h}}" for name in names)
    tasks += "\nlast: {run: 'm:f', every: 50ms, max_consecutive_failures: 1}"
    checkers = {**dict.fromkeys(names, work.run), "last": bad.run}
    async with open_site(tmp_path, database, checkers, tasks=tasks) as site:
        task = site.runner.supervisor.find("last")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED)
        _, text = await site.get("/")
        assert text.count("<article") == 200
        assert text.index('data-task="last"') < text.index('data-task="task_0"')
        assert "200 of 301 shown" in text
        _, found = await site.get("/?q=TASK_299")
        assert found.count("<article") == 1


def test_markup_escapes_everything_that_is_not_markup_already() -> None:
    assert tag("b", "<i>", title='"&') == '<b title="&quot;&amp;">&lt;i&gt;</b>'
    assert tag("p", tag("b", "x"), ["<", None, [">"]]) == "<p><b>x</b>&lt;&gt;</p>"
    assert join("a", None, "&") == "a&amp;"
    assert tag("input", disabled=True, hidden=False, value=None, data_at=1) == '<input disabled data-at="1">'
