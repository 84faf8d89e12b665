"""The page of one task: its history, chart, traceback and incidents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from dozor.control.queries.statistics import read_statistics
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor.web.page import detail
from tests.waiting import until
from tests.web.browser import Tab
from tests.web.site import Site, Work, open_site

TOKEN = "a-token-of-the-tests-0123456789"
MORE = f"web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}"
TASKS = """
good: {run: 'm:f', every: 1h, description: Well}
acted: {run: 'm:f', every: 1h, description: Paused by a test}
bad: {run: 'm:f', every: 50ms, restart_delay: 50ms, max_consecutive_failures: 3, description: Ill}
"""
HISTORY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max)
SELECT 'h-' || n, 'good', at, at, CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'succeeded' END,
       1, n / 100.0, n / 100.0
FROM generate_series(1, 100) AS n, LATERAL (SELECT $1::timestamptz - n * interval '10 min' AS at) AS moment
"""


of_the_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A healthy task with a history, a stopped one, and `acted`, the only one that a test may change."""
    work, bad = Work(), Work()
    bad.error = ValueError("no")
    checkers = {"good": work.run, "acted": Work().run, "bad": bad.run}
    folder = tmp_path_factory.mktemp("task")
    async with open_site(folder, module_database, checkers, tasks=TASKS, more=MORE) as site:
        task = site.runner.supervisor.find("bad")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED)
        await until(lambda: work.runs == 1)
        await site.runner.journal.flush()
        await site.runner.pools.core.execute("DELETE FROM dozor.runs WHERE task = 'good'")
        await site.runner.pools.core.execute(HISTORY_SQL, datetime.now(UTC) - timedelta(minutes=5))
        yield site


async def inner(tab: Tab, selector: str) -> str:
    return str(await tab.run(f"document.querySelector('{selector}').innerText"))


@of_the_module
async def test_a_stopped_task_shows_since_when_why_and_what_has_happened(site: Site, tab: Tab) -> None:
    await tab.open(site.url)
    await tab.until("document.querySelector('#broken a')")
    await tab.run("document.querySelector('#broken a').click()")
    await tab.until("document.querySelector('#timeline li')")
    assert await tab.run("location.pathname") == "/task/bad"
    assert await tab.run("document.title") == "(1) bad — Dozor"
    top = await inner(tab, ".task")
    assert "failing since" in top
    assert "3/3 · 3 failures in a row" in top
    assert "every 0.05 s — Ill" in top
    assert "ValueError: no" in await inner(tab, "#traceback pre")
    assert "raise self.error" in await inner(tab, "#traceback pre")
    assert "#1" in await inner(tab, "#incidents")
    assert "3 times" in await inner(tab, "#errors")
    await tab.run("document.querySelector('#incidents .why summary').click()")
    await tab.until("document.querySelector('#incidents .why li')")
    why = await inner(tab, "#incidents .why ol")
    assert "stopped: queued for the main chat" in why
    timeline = await inner(tab, "#timeline")
    assert "still open" in timeline
    assert timeline.count("ValueError: no") == 3
    assert tab.console == []


@of_the_module
async def test_runs_are_summed_up_and_drawn(site: Site, tab: Tab) -> None:
    await tab.size(1280, 1200)
    await tab.open(f"{site.url}/task/good")
    await tab.until("document.querySelectorAll('.plot svg').length === 2")
    cells = "[...document.querySelectorAll('#runs tbody tr')].map(r => [...r.children].map(c => c.innerText))"
    rows = await tab.run(cells)
    # Of 100 runs of 0.01 s to 1 s, every tenth failed.
    assert rows[0] == ["24 hours", "100 runs", "10 failures", "90 %", "500 ms", "950 ms"]
    assert rows[1][0] == "7 days"
    drawn = "[...document.querySelectorAll('.plot path')].map(x => x.getAttribute('class'))"
    assert await tab.run(drawn) == ["shade", "ok", "failed", "base", "shade", "line p95", "line p50"]
    box = await tab.run(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.plot').getBoundingClientRect())"
    )
    await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] - 30, y=box[1] + 20)
    await tab.until("!document.getElementById('tip').hidden")
    assert "3 runs, 0 failures, p50" in await inner(tab, "#tip")
    await tab.run("[...document.querySelectorAll('.windows button')][2].click()")
    await tab.until("document.querySelectorAll('#runs tbody tr').length === 3")
    assert (await tab.run(cells))[2][0] == "30 days"
    assert (
        await tab.run("document.querySelectorAll('.windows button')[2].getAttribute('aria-pressed')")
        == "true"
    )


HOLD = """(() => {
  const real = window.fetch;
  window.fetch = (address, options) => {
    if (!String(address).endsWith('days=7')) return real(address, options);
    return new Promise(done => { window.release = async () => {
      const answer = await real(address, options);
      done({ok: answer.ok, status: answer.status, json: async () => {
        const value = await answer.json();
        window.late = true;
        return value;
      }});
    }; });
  };
})()"""


@of_the_module
async def test_an_answer_that_comes_late_does_not_replace_a_newer_one(site: Site, tab: Tab) -> None:
    await tab.open(f"{site.url}/task/good")
    await tab.until("document.querySelectorAll('.plot svg').length === 2")
    await tab.run(HOLD)
    await tab.run("[...document.querySelectorAll('.windows button')][1].click()")
    await tab.run("[...document.querySelectorAll('.windows button')][2].click()")
    await tab.until("document.querySelectorAll('#runs tbody tr').length === 3")
    await tab.run("window.release()")
    await tab.until("window.late")
    assert await tab.run("document.querySelectorAll('#runs tbody tr').length") == 3


@of_the_module
async def test_a_healthy_task_is_run_or_paused_but_not_restarted(site: Site, tab: Tab) -> None:
    await tab.open(site.url)
    await tab.run(f"sessionStorage.setItem('dozor-token', '{TOKEN}')")
    await tab.open(f"{site.url}/task/acted")
    await tab.until("document.querySelector('#timeline li')")
    buttons = "[...document.querySelectorAll('.task .acts button')]"
    shown = f"{buttons}.filter(button => button.offsetWidth).map(button => button.dataset.do)"
    assert await tab.run(shown) == ["run-now", "pause"]
    await tab.run("document.querySelector('[data-do=pause]').click()")
    await tab.until("document.querySelector('.task').classList.contains('paused')")
    assert await tab.run(shown) == ["resume"]
    assert "by: web:token" in await inner(tab, ".task")
    await tab.open(f"{site.url}/task/bad")
    await tab.until("document.querySelector('#timeline li')")
    assert await tab.run(shown) == ["restart"]


@of_the_module
async def test_an_unknown_task_is_not_found(site: Site, tab: Tab) -> None:
    assert (await site.get("/task/nobody"))[0] == 404
    assert (await site.get("/api/task/nobody"))[0] == 404
    assert (await site.get("/api/why/1000000"))[0] == 404
    assert (await site.get(f"/api/why/{10**19 - 1}"))[0] == 404
    await tab.open(f"{site.url}/task/nobody?lang=ru")
    await tab.until("document.body.innerText.includes('В настройках нет задачи nobody')")


@of_the_module
async def test_without_the_database_the_history_is_missing_and_said_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, tab: Tab
) -> None:
    async def away(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(detail, "read_detail", away)
    monkeypatch.setattr(detail, "read_bars", away)
    monkeypatch.setattr(detail, "read_why", away)
    assert (await site.get("/api/task/bad"))[0] == 503
    assert (await site.get("/api/bars?task=bad"))[0] == 503
    assert (await site.get("/api/why/1"))[0] == 503
    await tab.open(f"{site.url}/task/bad")
    await tab.until("document.body.innerText.includes('The database does not answer')")
    assert "3/3 · 3 failures in a row" in await inner(tab, ".task"), "what the runner knows is shown"


@pytest.mark.parametrize(
    ("text", "days"), [("1", 1), ("7", 7), ("30", 30), ("", 1), ("2", 1), ("-7", 1), ("x", 1)]
)
def test_the_chart_has_one_of_three_lengths(text: str, days: int) -> None:
    assert detail.days_of(text) == days


MANY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max)
SELECT 'm-' || n, 'one', at, at, 'succeeded', 1, 0.1, 0.1
FROM generate_series(1, 3000) AS n, LATERAL (SELECT now() - n * interval '1 min' AS at) AS moment
"""
OTHER_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, seconds, seconds_max)
SELECT 'o-' || n, 'other', now(), now(), 'succeeded', 1, 1 FROM generate_series(1, 300) AS n
"""


async def test_statistics_are_quick_while_postgresql_does_not_know_how_much_there_is(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("ALTER TABLE dozor.runs SET (autovacuum_enabled = off)")
        await connection.execute(OTHER_SQL)
        await connection.execute("ANALYZE dozor.runs")
        await connection.execute(MANY_SQL)
        async with asyncio.timeout(10):
            found = await read_statistics(connection, "one", 7 * 86_400.0, 56)
    assert found.whole is not None
    assert found.whole.succeeded == 3000
