"""What the web tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.web.browser import Browser, Tab
from tests.web.site import Work


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: its start takes a second of CPU time, a tab of its own next to none."""
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab
