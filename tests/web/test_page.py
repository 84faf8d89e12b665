"""The status page in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import Tab, chromium
from tests.web.site import Site, Work, open_site

TOKEN = "a-token-of-the-tests-0123456789"
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'`"
TASKS = f"""
good: {{run: 'm:f', every: 1h, description: {json.dumps(EVIL)}}}
bad: {{run: 'm:f', every: 100ms, restart_delay: 50ms, max_consecutive_failures: 3}}
"""
WITH_TOKEN = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}"
ROW = "document.querySelector('[data-task=bad]')"


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with chromium() as tab:
        yield tab


def state_of(site: Site, name: str) -> State:
    task = site.runner.supervisor.find(name)
    assert task is not None
    return task.state.state


async def enter(tab: Tab, token: str) -> None:
    """Sign in as a person does."""
    await tab.run("document.getElementById('sign').click()")
    await tab.run(f"document.querySelector('#enter input').value = {json.dumps(token)}")
    await tab.run("document.querySelector('#enter button[value=in]').click()")
    await tab.until("document.getElementById('sign').innerText === 'Sign out'")


async def test_the_page_shows_a_task_stop_as_it_happens_and_restarts_it_with_the_token(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    checkers = {"good": work.run, "bad": (bad := Work()).run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS, more=WITH_TOKEN) as site:
        await tab.open(site.url)
        await tab.until("document.getElementById('live').textContent.includes('live')")
        assert await tab.run(f"{ROW}.classList.contains('stopped')") is False
        bad.error = ValueError(EVIL)
        await tab.until(f"{ROW}.classList.contains('stopped')")
        await tab.until("document.querySelector('#incidents').innerText.includes('bad')")
        assert await tab.run(f"{ROW}.querySelector('[data-f=error]').innerText.includes('onerror')")
        assert await tab.run("document.querySelector('[data-count=stopped]').innerText") == "1"

        assert await tab.run(f"{ROW}.querySelector('.acts').hidden"), "no buttons before signing in"
        await enter(tab, TOKEN)
        bad.error = None
        await tab.run(f"{ROW}.querySelector('[data-do=restart]').click()")
        await tab.until("document.getElementById('toast').innerText.includes('bad: done')")
        await tab.until(f"!{ROW}.classList.contains('stopped')")
        await tab.until("!document.getElementById('no-incidents').hidden")
        rows = await site.runner.pools.core.fetch(
            "SELECT actor, source, action, target, result FROM dozor.audit"
        )
        assert ("web:token", "web", "restart", "bad", "done") in [tuple(row) for row in rows]
        assert tab.dialogs == []
        assert tab.console == []


async def test_a_wrong_token_changes_nothing_and_is_audited(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    checkers = {"good": work.run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS, more=WITH_TOKEN) as site:
        await tab.open(site.url)
        await enter(tab, "not-the-token-at-all")
        await tab.run(f"{ROW}.querySelector('[data-do=pause]').click()")
        await tab.until("document.getElementById('toast').innerText.includes('not the token')")
        assert state_of(site, "bad") is not State.PAUSED
        denied = await site.runner.pools.core.fetchrow("SELECT actor, result FROM dozor.audit")
        assert tuple(denied) == ("web:nobody", "denied")


async def test_without_a_token_in_the_configuration_it_only_shows(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    checkers = {"good": work.run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        await tab.open(site.url)
        assert await tab.run("document.querySelectorAll('button').length") == 0
        async with site.http.post(site.url + "/api/tasks/bad/pause") as answer:
            assert answer.status == 403
        assert state_of(site, "bad") is not State.PAUSED


async def test_no_text_of_a_task_becomes_markup_or_script(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    work.error = ValueError(EVIL)
    checkers = {"good": work.run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        await until(lambda: state_of(site, "bad") is State.STOPPED)
        site.runner.supervisor.command("good", Pause(EVIL))
        await tab.open(f"{site.url}/?q={'%3Cscript%3Ealert(4)%3C/script%3E'}")
        assert (
            await tab.run("document.querySelector('input[type=search]').value") == "<script>alert(4)</script>"
        )
        await tab.open(site.url)  # rendered on the server
        assert await tab.run("document.images.length") == 0
        assert await tab.run("document.scripts.length") == 2
        text = await tab.run("document.body.innerText")
        assert text.count(EVIL) >= 3, "description, error, incident, and who paused"
        await tab.until("document.getElementById('live').textContent.includes('live')")
        await tab.run("new Promise(done => setTimeout(done, 1500))")  # rendered again by the script
        assert await tab.run("document.images.length") == 0
        assert tab.dialogs == []
        assert tab.console == []


async def test_it_fits_a_phone_and_speaks_both_languages(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    work.error = ValueError("x" * 300)
    name = "a" * 40
    tasks = f"{name}: {{run: 'm:f', every: 100ms, restart_delay: 50ms, max_consecutive_failures: 2}}"
    async with open_site(tmp_path, database, {name: work.run}, tasks=tasks, more=WITH_TOKEN) as site:
        await until(lambda: state_of(site, name) is State.STOPPED)
        await tab.size(360, 740, phone=True)
        await tab.open(site.url + "/?lang=ru")
        assert "остановлена" in await tab.run("document.body.innerText")
        assert await tab.run("document.documentElement.scrollWidth") <= 360
        await tab.open(site.url + "/?lang=en")
        assert "stopped" in await tab.run("document.body.innerText")
        await tab.open(site.url + "/?lang=xx")
        assert await tab.run("document.documentElement.lang") == "en"


async def test_bars_show_in_which_periods_runs_failed(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    checkers = {"good": work.run, "bad": (bad := Work()).run}
    bad.error = ValueError("no")
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        await until(lambda: state_of(site, "bad") is State.STOPPED)
        await site.runner.journal.flush()
        await tab.open(site.url)
        bars = f"[...{ROW}.querySelectorAll('.bars rect')].map(bar => bar.getAttribute('class'))"
        shown = await tab.run(bars)
        assert len(shown) == 90
        assert shown[-1] == "failed"
        drawn = f"[...{ROW}.querySelectorAll('.bars rect')].map(bar => bar.getBoundingClientRect().left)"
        assert len(set(await tab.run(drawn))) == 90, "each in a place of its own"
        assert set(shown[:-2]) == {"none"}


async def test_a_lost_connection_is_shown_and_comes_back(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    async with open_site(tmp_path, database, {"good": work.run, "bad": work.run}, tasks=TASKS) as site:
        await tab.open(site.url)
        await tab.until("document.getElementById('live').textContent.includes('live')")
    await tab.until("document.getElementById('live').textContent.includes('lost')")
