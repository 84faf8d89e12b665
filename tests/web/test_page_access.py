"""Accessibility of the page, checked by axe-core (https://github.com/dequelabs/axe-core) in both schemes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio

from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.waiting import until
from tests.web.browser import Tab
from tests.web.site import Site, Work, open_site

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TOKEN = "a-token-of-the-tests-0123456789"
MORE = f"""
web: {{listen: 127.0.0.1:0, token: '{TOKEN}'}}
oncall:
  people: {{anna: {{mention: '@anna'}}, boris: {{mention: '@boris'}}}}
  rotation: {{people: [anna, boris], start: '2026-01-05 10:00', shift: 7d}}
"""
TASKS = """
orders_new: {run: 'm:f', every: 1h, description: New orders}
orders_old: {run: 'm:f', every: 1h}
ledger: {run: 'm:f', every: 1h}
wallet: {run: 'm:f', every: 50ms, restart_delay: 50ms, max_consecutive_failures: 3}
deposits: {run: 'm:f', every: 50ms, restart_delay: 1h}
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A task in every state that a page shows differently. No test changes it."""
    work, bad = Work(), Work()
    bad.error = ValueError("no")
    checkers = dict.fromkeys(("orders_new", "orders_old", "ledger"), work.run)
    checkers |= {"wallet": bad.run, "deposits": bad.run}
    folder = tmp_path_factory.mktemp("access")
    async with open_site(folder, module_database, checkers, tasks=TASKS, more=MORE) as site:
        supervisor = site.runner.supervisor
        wallet = supervisor.find("wallet")
        assert wallet is not None
        await until(lambda: wallet.state.state is State.STOPPED)
        supervisor.command("ledger", Pause("telegram:111"))
        await site.runner.journal.flush()
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def tab(tab: Tab, site: Site) -> Tab:
    await tab.open(site.url)
    await tab.run(f"sessionStorage.setItem('dozor-token', '{TOKEN}')")
    return tab


async def findings(tab: Tab) -> list[str]:
    """What axe, which the page has loaded, finds of every impact: rule, impact, element."""
    options = json.dumps({"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]})
    result: dict[str, Any] = await tab.run(f"axe.run(document, {options})")
    assert len(result["passes"]) > 10, "axe has looked at the page"
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


async def findings_everywhere(tab: Tab) -> dict[tuple[int, str], list[str]]:
    """By width and colour scheme: `findings`, where there are any."""
    await tab.run(AXE)
    found = {}
    for width in (1280, 390):
        await tab.size(width, 1000, phone=width < 600)
        await tab.until(f"innerWidth === {width}")
        for scheme in ("light", "dark"):
            await tab.scheme(scheme)
            await tab.run("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            found[width, scheme] = await findings(tab)
    return {where: what for where, what in found.items() if what}


async def test_axe_finds_nothing_in_the_list_of_tasks_but_what_is_wrong(site: Site, tab: Tab) -> None:
    await tab.size(1280, 1000)
    await tab.open(site.url)
    await tab.until("document.querySelector('.row .bars svg') && document.querySelector('[data-incident]')")
    await tab.until("document.querySelector('#broken .axis span')")
    assert await findings_everywhere(tab) == {}
    await tab.run("document.getElementById('search').removeAttribute('aria-label')")
    await tab.run("document.getElementById('search').removeAttribute('placeholder')")
    assert any(one.startswith("label (critical)") for one in await findings(tab))


async def test_axe_finds_nothing_in_the_page_of_a_task(site: Site, tab: Tab) -> None:
    await tab.size(1280, 1000)
    await tab.open(f"{site.url}/task/wallet?lang=ru")
    await tab.until("document.querySelector('#timeline li') && document.querySelector('.plot svg')")
    await tab.until("document.querySelector('.task .axis span')")
    assert await findings_everywhere(tab) == {}


CONTRAST = """(() => {
  const light = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = colour => { const [r, g, b] = colour.match(/[0-9.]+/g).map(Number);
    return 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b); };
  const ground = luminance(getComputedStyle(document.querySelector('.rows')).backgroundColor);
  return ['ok', 'failed', 'none'].map(name => {
    const path = document.createElementNS(document.querySelector('svg').namespaceURI, 'path');
    path.setAttribute('class', name);
    document.querySelector('svg').append(path);
    const ink = luminance(getComputedStyle(path).fill);
    return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  });
})()"""


async def test_bars_stand_out_from_their_ground(site: Site, tab: Tab) -> None:
    """At least 3:1 (WCAG 2.2, 1.4.11), which axe does not check in drawings."""
    await tab.open(site.url)
    await tab.until("document.querySelector('.bars svg')")
    for scheme in ("light", "dark"):
        await tab.scheme(scheme)
        assert min(await tab.run(CONTRAST)) >= 3, scheme
