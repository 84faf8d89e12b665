"""The status page in a real Chromium."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import Tab
from tests.web.site import Site, Work, open_site

TOKEN = "a-token-of-the-tests-0123456789"
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'`"
TASKS = f"""
good: {{run: 'm:f', every: 1h, description: {json.dumps(EVIL)}}}
bad: {{run: 'm:f', every: 100ms, restart_delay: 50ms, max_consecutive_failures: 3}}
"""
WITH_TOKEN = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}"
pytestmark = pytest.mark.asyncio(loop_scope="module")
ROW = "document.querySelector('[data-task=bad]')"


def state_of(site: Site, name: str) -> State:
    task = site.runner.supervisor.find(name)
    assert task is not None
    return task.state.state


async def click(tab: Tab, selector: str) -> None:
    """On what can be seen. AssertionError if it is hidden."""
    find = f"document.querySelector({json.dumps(selector)})"
    assert await tab.run(f"{find}.getBoundingClientRect().width > 0"), f"{selector} cannot be seen"
    await tab.run(f"{find}.click()")


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
        assert await tab.run(f"{ROW}.querySelector('.error').innerText.includes('onerror')")
        assert await tab.run(f"{ROW}.innerText.includes('failing since')")
        assert await tab.run("document.querySelector('[data-count=stopped]').innerText") == "1"

        await tab.until("document.getElementById('news').textContent.includes('bad: stopped')")
        assert (await tab.run("document.title")).startswith("(1) ")
        hidden = f"{ROW}.querySelector('[data-do=restart]').getBoundingClientRect().width === 0"
        assert await tab.run(hidden), "no buttons before signing in"
        await enter(tab, TOKEN)
        bad.error = None
        await click(tab, "[data-task=bad] [data-do=restart]")
        await tab.until("document.getElementById('toast').innerText.includes('bad: done')")
        await tab.until(f"!{ROW}.classList.contains('stopped')")
        await tab.until("document.getElementById('incidents').innerText.includes('No open incidents')")
        await tab.until("!document.title.startsWith('(')")
        await tab.until("document.querySelector('#healthy [data-task=bad]')")
        assert await tab.run(f"{ROW}.querySelectorAll('button').length") == 0, "nothing to restart here"
        rows = await site.runner.pools.core.fetch(
            "SELECT actor, source, action, target, result FROM dozor.audit"
        )
        assert ("web:token", "web", "restart", "bad", "done") in [tuple(row) for row in rows]
        assert tab.dialogs == []
        assert tab.console == []


async def test_an_incident_is_acknowledged_and_silenced_on_the_page(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    work.error = ValueError("no")
    checkers = {"good": Work().run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS, more=WITH_TOKEN) as site:
        await tab.open(site.url)
        await tab.until("document.querySelector('[data-incident]')")
        assert "not acknowledged" in await tab.run("document.getElementById('incidents').innerText")
        assert "On call: no rotation" in await tab.run("document.getElementById('incidents').innerText")
        await enter(tab, TOKEN)
        await until(lambda: state_of(site, "bad") is State.STOPPED)
        await click(tab, "#incidents [data-do=ack]")
        await tab.until(
            "document.getElementById('incidents').innerText.includes('acknowledged by web:token')"
        )
        await tab.until("document.querySelector('#incidents [data-do=unack]')")
        await click(tab, "#incidents [data-do=silence]")
        await tab.until("document.getElementById('incidents').innerText.includes('silenced until')")
        incident = site.runner.incident_manager.open_incidents[0]
        assert incident.acknowledged_by == "web:token"
        silence = site.runner.incident_manager.silences[incident.silenced_by or 0]
        assert silence.ends_at is not None
        assert silence.ends_at - silence.created_at == 3600
        await click(tab, "#incidents [data-do=unsilence]")
        await tab.until("!document.getElementById('incidents').innerText.includes('silenced until')")
        await click(tab, "#incidents [data-do=unack]")
        await tab.until("document.getElementById('incidents').innerText.includes('not acknowledged')")
        actions = await site.runner.pools.core.fetch("SELECT action, result FROM dozor.audit ORDER BY id")
        assert [tuple(row) for row in actions] == [
            (action, "done") for action in ("ack", "silence", "unsilence", "unack")
        ]
        assert tab.console == []


async def test_a_wrong_token_changes_nothing_and_is_audited(
    database: str, tmp_path: Path, tab: Tab, work: Work
) -> None:
    checkers = {"good": work.run, "bad": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS, more=WITH_TOKEN) as site:
        await tab.open(f"{site.url}/task/bad")
        await enter(tab, "not-the-token-at-all")
        await click(tab, "[data-do=pause]")
        await tab.until("document.getElementById('toast').innerText.includes('Wrong token')")
        assert state_of(site, "bad") is not State.PAUSED
        denied = await site.runner.pools.core.fetchrow("SELECT actor, result FROM dozor.audit")
        assert tuple(denied) == ("web:nobody", "denied")


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
        await tab.until("document.querySelector('#incidents .error')")
        assert await tab.run("document.scripts.length") == 3
        text = await tab.run("document.body.innerText")
        assert text.count(EVIL) >= 3, "error, incident, and who paused"
        await tab.until("document.getElementById('live').textContent.includes('live')")
        for name in ("good", "bad"):
            await tab.open(f"{site.url}/task/{name}")
            await tab.until(
                "document.querySelector('#timeline li') || document.querySelector('#timeline .quiet')"
            )
            assert EVIL in await tab.run("document.body.innerText"), "description, traceback, timeline"
            assert await tab.run("document.images.length") == 0
        await tab.open(f"{site.url}/task/%3Cimg%20src%3Dx%20onerror%3Dalert(5)%3E")
        await tab.until("document.body.innerText.includes('<img src=x onerror=alert(5)>')")
        assert await tab.run("document.images.length") == 0
        assert tab.dialogs == []
        assert [line for line in tab.console if "404" not in line] == []


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
        await tab.until("document.querySelector('#broken .task')")
        assert "остановлена" in await tab.run("document.body.innerText")
        assert "2 ошибки подряд" in await tab.run("document.body.innerText")
        # At once: for some seconds more, alerts with the name of the task wait in the queue.
        assert await tab.run("document.documentElement.scrollWidth") <= 360
        await tab.run("document.querySelector('#broken a').click()")
        await tab.until("document.querySelector('#timeline li')")
        assert await tab.run("document.documentElement.lang") == "ru", "the links keep the language"
        assert "ошибка" in await tab.run("document.getElementById('timeline').innerText")
        assert await tab.run("document.documentElement.scrollWidth") <= 360
        await tab.open(site.url + "/?lang=en")
        assert "stopped" in await tab.run("document.body.innerText")
        await tab.open(site.url + "/?lang=xx")
        assert await tab.run("document.documentElement.lang") == "en"
