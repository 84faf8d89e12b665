"""The order of the status page: groups, filters, bars."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import Tab
from tests.web.site import Site, Work, open_site

HEALTHY = ("mail_queue", "mail_bounces", "orders_new", "orders_old", "prices")
FAILING = "every: 50ms, restart_delay: 50ms, max_consecutive_failures: 3"
TASKS = "\n".join(
    (
        *(f"{name}: {{run: 'm:f', every: 1h}}" for name in HEALTHY),
        f"wallet_in: {{run: 'm:f', {FAILING}}}",
        f"wallet_out: {{run: 'm:f', {FAILING}}}",
        "ledger: {run: 'm:f', every: 1h}",
    )
)
NAMES = """[...document.querySelectorAll('{place} [data-task]')]
  .filter(row => row.offsetHeight).map(row => row.dataset.task)"""


HISTORY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, runs, seconds, seconds_max)
SELECT 'h-' || n, 'prices', at, at, CASE WHEN n IN (3, 4) THEN 'failed' ELSE 'succeeded' END,
       CASE WHEN n = 3 THEN 2 ELSE 1 END, 0.1, 0.1
FROM generate_series(1, 60) AS n, LATERAL (SELECT $1::timestamptz - n * interval '1 hour' AS at) AS moment
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Two tasks stopped, one paused, five healthy; `prices` has a history. No test changes it."""
    failing = Work()
    failing.error = ValueError("no")
    checkers = {name: Work().run for name in (*HEALTHY, "ledger")}
    checkers |= {"wallet_in": failing.run, "wallet_out": failing.run}
    folder = tmp_path_factory.mktemp("order")
    async with open_site(folder, module_database, checkers, tasks=TASKS) as site:
        supervisor = site.runner.supervisor
        for name in ("wallet_in", "wallet_out"):
            task = supervisor.find(name)
            assert task is not None
            await until(lambda task=task: task.state.state is State.STOPPED)  # type: ignore[misc]
        supervisor.command("ledger", Pause("telegram:111"))
        await until(lambda: len(site.runner.incident_manager.open_incidents) == 2)
        await site.runner.journal.flush()
        await site.runner.pools.core.execute("DELETE FROM dozor.runs WHERE task = 'prices'")
        await site.runner.pools.core.execute(HISTORY_SQL, datetime.now(UTC) - timedelta(minutes=30))
        yield site


async def names(tab: Tab, place: str) -> list[str]:
    found = await tab.run(NAMES.replace("{place}", place))
    assert isinstance(found, list)
    return found


async def test_incidents_come_first_then_the_broken_then_rows_of_32_pixels(site: Site, tab: Tab) -> None:
    await tab.size(1280, 900)
    await tab.open(site.url)
    await tab.until("document.querySelectorAll('[data-incident]').length === 2")
    top = "document.querySelector('{}').getBoundingClientRect().top"
    tops = [
        await tab.run(top.format(place))
        for place in ("#incidents", "#broken", "#paused", "#healthy", "#queue")
    ]
    assert tops == sorted(tops)
    assert sorted(await names(tab, "#broken")) == ["wallet_in", "wallet_out"]
    assert await names(tab, "#paused") == ["ledger"]
    assert "telegram:111" in await tab.run("document.getElementById('paused').innerText")
    assert sorted(await names(tab, "#healthy")) == sorted(HEALTHY)
    heights = "[...new Set([...document.querySelectorAll('#healthy .row')].map(x => x.offsetHeight))]"
    assert await tab.run(heights) == [32]
    groups = "[...document.querySelectorAll('#healthy summary')].map(x => x.innerText.trim())"
    assert await tab.run(groups) == ["mail 2", "orders 2", "others 1"]
    assert (await tab.run("document.title")) == "(2) Dozor"
    assert "cf222e" in await tab.run("document.getElementById('icon').href"), (
        "a red icon: something is stopped"
    )
    moments = "[...document.querySelectorAll('time')].every(x => !isNaN(Date.parse(x.dateTime)))"
    assert await tab.run(f"document.querySelector('time') && {moments}")


async def test_states_filter_by_a_click_and_by_the_address(site: Site, tab: Tab) -> None:
    await tab.open(f"{site.url}/?state=stopped")
    await tab.until("document.querySelector('#broken .task')")
    assert sorted(await names(tab, "main")) == ["wallet_in", "wallet_out"]
    assert (
        await tab.run("document.querySelector('[data-state=stopped]').getAttribute('aria-current')") == "true"
    )
    await tab.run("document.querySelector('[data-state=paused]').click()")
    await tab.until("location.search === '?state=paused'")
    assert await names(tab, "main") == ["ledger"]
    await tab.run("document.querySelector('[data-state=paused]').click()")
    await tab.until("location.search === ''")
    assert len(await names(tab, "main")) == 8
    await tab.open(f"{site.url}/?state=nonsense")
    await tab.until("document.querySelector('#healthy .row')")
    assert len(await names(tab, "main")) == 8


async def test_russian_counts_take_the_right_forms(site: Site, tab: Tab) -> None:
    await tab.open(f"{site.url}/?lang=ru")
    await tab.until("document.querySelector('#broken .task')")
    chips = "[...document.querySelectorAll('#counts a')].map(x => x.innerText)"
    assert await tab.run(chips) == [
        "8 все", "5 ждут", "0 выполняются", "0 повторов", "2 остановлены", "1 на паузе", "0 придержано"
    ]  # fmt: skip
    broken = await tab.run("document.getElementById('broken').innerText")
    assert broken.count("3 ошибки подряд") == 2


async def test_typing_filters_at_once(site: Site, tab: Tab) -> None:
    await tab.open(site.url)
    await tab.until("document.querySelector('#healthy .row')")
    await tab.run("document.getElementById('search').focus()")
    await tab.call("Input.insertText", text="OLD")
    assert await names(tab, "main") == ["orders_old"]
    await tab.call("Input.insertText", text="er")
    assert await names(tab, "main") == []
    assert "Nothing matches" in await tab.run("document.getElementById('main').innerText")
    assert "q=OLDer" in await tab.run("location.search")
    await tab.open(f"{site.url}/?q=mail")
    await tab.until("document.querySelector('#healthy .row')")
    assert sorted(await names(tab, "main")) == ["mail_bounces", "mail_queue"]


async def test_bars_tell_failures_by_height_and_say_what_each_period_was(site: Site, tab: Tab) -> None:
    await tab.size(1280, 900)
    await tab.open(site.url)
    row = "document.querySelector('[data-task=prices]')"
    await tab.until(row)
    await tab.run(f"{row}.scrollIntoView({{block: 'center'}})")
    await tab.until(f"{row}.querySelector('.bars svg')")
    box_of = "path => [path.getAttribute('class'), path.getBBox().y, path.getBBox().height]"
    paths = f"[...{row}.querySelectorAll('.bars path')].map({box_of})"
    drawn: dict[str, list[Any]] = {name: rest for name, *rest in await tab.run(paths)}
    assert drawn["failed"] == [0, 20], "failures are full bars"
    assert drawn["ok"] == [10, 10], "successes half ones"
    assert set(drawn) == {"ok", "failed", "none"}, "one path a colour"
    # 58 of the 60 periods with runs (and perhaps the present one, if its run is written by now) were good.
    assert "96." in await tab.run(f"{row}.querySelector('.uptime').innerText")
    label = await tab.run(f"{row}.querySelector('.bars').getAttribute('aria-label')")
    assert label == "The last 3 d 18 h in periods of 1 h: failures in 2 periods"

    async def tip(period: int) -> str:
        box = await tab.run(
            f"(b => [b.left, b.top, b.width, b.height])({row}.querySelector('.bars').getBoundingClientRect())"
        )
        x, y = box[0] + box[2] * (period + 0.5) / 90, box[1] + box[3] / 2
        await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        await tab.until("!document.getElementById('tip').hidden")
        return str(await tab.run("document.getElementById('tip').innerText"))

    assert (await tip(86)).endswith("2 of 2 runs failed")
    assert (await tip(85)).endswith("1 of 1 run failed")
    assert (await tip(84)).endswith("no failure")
    assert (await tip(10)).endswith("no run")
    axis = "document.querySelector('#broken .axis').innerText"
    await tab.until(f"{axis}.includes('1 h 30 min ago')")
    assert "now" in await tab.run(axis)


async def test_without_a_token_in_the_configuration_it_only_shows(site: Site, tab: Tab) -> None:
    await tab.open(site.url)
    await tab.until("document.querySelector('#broken .task')")
    assert await tab.run("document.querySelectorAll('button').length") == 0
    async with site.http.post(site.url + "/api/tasks/prices/pause") as answer:
        assert answer.status == 403
    task = site.runner.supervisor.find("prices")
    assert task is not None
    assert task.state.state is not State.PAUSED


async def test_two_thousand_tasks_weigh_little(database: str, tmp_path: Path, tab: Tab) -> None:
    count = 2000
    work = Work()
    all_names = [f"{('mail', 'orders', 'prices')[n % 3]}_{n:04}" for n in range(count)]
    tasks = "\n".join(f"{name}: {{run: 'm:f', every: 60s}}" for name in all_names)
    async with open_site(tmp_path, database, dict.fromkeys(all_names, work.run), tasks=tasks) as site:
        await until(lambda: work.runs >= count, within=60)
        headers = {"Accept-Encoding": "gzip"}
        async with site.http.get(site.url, headers=headers) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
        transport = await fetch_raw(site, "/", seconds=30.0)
        assert len(transport) < 60_000
        followed = await fetch_raw(site, "/api/events?since=0.0", seconds=1.0)
        assert len(followed) < 60_000
        await tab.open(site.url)
        await tab.until(f"document.querySelectorAll('#healthy .row').length === {count}", within=60)
        await tab.until("document.querySelector('.bars svg')", within=30)
        assert await tab.run("document.getElementsByTagName('*').length") < 10_000
        assert await tab.run("document.querySelectorAll('rect').length") == 0


async def fetch_raw(site: Site, path: str, *, seconds: float) -> bytes:
    """What the server sends until it closes the connection, or for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.runner.web_port)
    headers = "Host: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    received = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while data := await reader.read(65_536):
                received += data
    except TimeoutError:
        pass
    finally:
        writer.close()
    assert received.startswith(b"HTTP/1.1 200 ")
    return bytes(received)
