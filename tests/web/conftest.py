"""What the web tests share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict

import pytest
import pytest_asyncio

from dozor.web.page import live_page
from dozor.web.page.frame import Waits
from tests.templates import CORE_TEMPLATE, Databases
from tests.web.browser import Browser, Tab
from tests.web.site import Work

SHORT = Waits(
    poll_after=2.2,
    poll_every=0.5,
    stale_after=3.0,
    stale_refused_after=0.5,
    stream_again_after=(0.2, 0.5),
    details_after_change=0.2,
    details_at_most_every=0.2,
)
HURRY = """(() => {{
  const parse = JSON.parse;
  JSON.parse = (...given) => {{
    const value = parse(...given);
    if (value?.waits) Object.assign(value.waits, {waits});
    return value;
  }};
}})()"""


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Iterator[str]:
    """As `database`, for a site that the tests of a module look at and do not change."""
    yield from databases.fresh(CORE_TEMPLATE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: its start takes a second of CPU time, a tab of its own next to none."""
    browser = Browser()
    yield browser
    browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tab]:
    """For tests with the loop of their module. The page, and a site in this process, wait for less long."""
    monkeypatch.setattr(live_page, "EVERY", 0.1)
    monkeypatch.setattr(live_page, "BEAT_EVERY", 0.5)
    async with browser.tab() as tab:
        waits = json.dumps(asdict(SHORT))
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=HURRY.format(waits=waits))
        yield tab
