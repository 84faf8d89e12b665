"""The page's acting part over plain HTTP, and the page without a browser."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from dozor.web.http import access
from dozor.web.http.sending import takes_gzip
from dozor.web.page import live_page, view
from dozor.web.page.frame import Waits
from dozor.web.page.markup import join, tag
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
        assert task.state.failure_record.last_actor == "web:token"
        assert await post(site, "one/pause", GOOD) == (200, "already")
        assert await post(site, "nobody/pause", GOOD) == (404, "unknown_task")
        assert await post(site, "one/explode", GOOD) == (404, "unknown_command")
        assert await post(site, "one/resume", GOOD) == (200, "done")


async def test_nothing_but_the_token_opens_the_door(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RECORDED_EVERY", 0.0)  # a row of the audit for each denial
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff\xfe"},
    )
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        for number, headers in enumerate(wrong, start=1):
            assert await post(site, "one/pause", headers) == (401, "denied"), headers
            assert await site.runner.pools.core.fetchval("SELECT count(*) FROM dozor.commands") == 0, headers
            assert await site.runner.pools.core.fetchval("SELECT count(*) FROM dozor.audit") == number


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
    monkeypatch.setattr(live_page, "BEAT_EVERY", 0.02)
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        stream = await site.http.get(site.url + "/api/events")
        assert (await stream.content.readline()) == b"event: update\n"
        assert (await site.get("/api/events"))[0] == 503
        stream.close()

        async def open_again() -> int:
            async with site.http.get(site.url + "/api/events") as answer:
                return answer.status

        async with asyncio.timeout(10):
            while await open_again() != 200:  # noqa: ASYNC110 -- another process's answer
                await asyncio.sleep(0.05)


async def test_more_tasks_than_a_page_shows_the_troubled_first_and_the_rest_by_name(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "SHOWN", 200)
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
        shown = data_of((await site.get("/"))[1])
        assert len(shown["tasks"]) == 200
        assert shown["cut"] is True
        assert shown["tasks"][0]["name"] == "last"
        assert sum(shown["page"]["counts"].values()) == 301
        found = data_of((await site.get("/?q=TASK_299"))[1])
        assert [one["name"] for one in found["tasks"]] == ["task_299"]
        _, stopped = await site.get_json("/api/page?state=stopped")
        assert [one["name"] for one in stopped["tasks"]] == ["last"]
        _, one = await site.get_json("/api/page?task=task_7")
        assert [one["name"] for one in one["tasks"]] == ["task_7"]


def data_of(text: str) -> Any:
    """The first message, which the page holds."""
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


async def test_a_page_is_told_only_what_has_changed_since(database: str, tmp_path: Path, work: Work) -> None:
    tasks = "one: {run: 'm:f', every: 1h}\ntwo: {run: 'm:f', every: 1h}"
    async with open_site(tmp_path, database, {"one": work.run, "two": work.run}, tasks=tasks) as site:
        await until(lambda: work.runs == 2)
        _, first = await site.get_json("/api/page")
        assert {one["name"] for one in first["tasks"]} == {"one", "two"}
        site.runner.supervisor.command("two", Pause("telegram:111"))
        news: dict[str, Any] = {}
        async with asyncio.timeout(10):
            while "tasks" not in news:
                _, news = await site.get_json(f"/api/page?since={first['rev']}")
        assert [(one["name"], one["state"]) for one in news["tasks"]] == [("two", "paused")]
        assert "all" not in news
        for unknown in ("", "nonsense", "1.x", f"{int(first['rev'].split('.')[0]) + 1}.1", "1.999999"):
            _, anew = await site.get_json(f"/api/page?since={unknown}")
            assert anew["all"] is True, unknown
            assert len(anew["tasks"]) == 2


async def test_what_cannot_be_done_to_an_incident_is_refused(
    database: str, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=MORE) as site:
        for path, expected in (
            ("1/ack", (404, "unknown_incident")),
            ("x/silence?seconds=60", (404, "unknown_incident")),
            ("1/restart", (404, "unknown_command")),
            ("1/oncall", (404, "unknown_command")),
        ):
            async with site.http.post(f"{site.url}/api/incidents/{path}", headers=GOOD) as response:
                assert (response.status, (await response.json())["reason"]) == expected, path
            async with site.http.post(f"{site.url}/api/incidents/{path}") as response:
                assert response.status in (401, 404), path


def test_a_page_asks_before_it_is_stale_and_is_not_stale_between_two_signs_of_life() -> None:
    waits = Waits()
    assert waits.poll_after > live_page.BEAT_EVERY + 2 * live_page.EVERY
    assert waits.poll_after + waits.poll_answer <= waits.stale_after < waits.stream_given_up_after
    assert waits.poll_every < waits.stale_refused_after < waits.stale_after


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("", False), ("gzip", True), ("gzip, deflate, br", True), ("br", False), ("GZIP;q=1.0", True),
        ("gzip;q=0", False), ("gzip; q=0.0", False), ("gzip;q=0.5", True), ("identity;q=0, gzip", True),
        ("notgzip", False),
    ],
)  # fmt: skip
def test_gzip_is_used_where_it_is_taken(header: str, taken: bool) -> None:
    assert takes_gzip(header) is taken


def test_markup_escapes_everything_that_is_not_markup_already() -> None:
    assert tag("b", "<i>", title='"&') == '<b title="&quot;&amp;">&lt;i&gt;</b>'
    assert tag("p", tag("b", "x"), ["<", None, [">"]]) == "<p><b>x</b>&lt;&gt;</p>"
    assert join("a", None, "&") == "a&amp;"
    assert tag("input", disabled=True, hidden=False, value=None, data_at=1) == '<input disabled data-at="1">'


async def test_the_page_names_who_paused_a_task_and_nobody_for_a_stop(
    database: str, tmp_path: Path, work: Work
) -> None:
    """A task that was restarted by hand and failed again was not stopped by that person."""
    work.error = ValueError("no price")
    tasks = "one: {run: 'm:f', every: 50ms, restart_delay: 50ms, max_consecutive_failures: 1}"
    async with open_site(tmp_path, database, {"one": work.run}, tasks=tasks, more=MORE) as site:
        await site.becomes("/health/tasks", 503)
        assert (await post(site, "one/restart", GOOD))[0] == 200
        task = site.runner.supervisor.find("one")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED, within=20)
        assert task.state.failure_record.last_actor == "web:token"
        assert "by" not in await _first_event(site)
        assert (await post(site, "one/pause", GOOD))[0] == 200
        assert (await _first_event(site))["by"] == "web:token"


async def _first_event(site: Site) -> dict[str, Any]:
    """Task `one` in the picture with which the page begins."""
    async with site.http.get(f"{site.url}/api/events") as answer:
        async for line in answer.content:
            text = line.decode()
            if text.startswith("data:") and '"one"' in text:
                return _find(json.loads(text.removeprefix("data:")))
    raise AssertionError("the stream ended")


def _find(value: Any) -> dict[str, Any]:
    """The first mapping in which name is "one" and that has a streak or a state."""
    if isinstance(value, dict):
        if value.get("name") == "one":
            return value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            if found := _find(part):
                return found
    return {}
