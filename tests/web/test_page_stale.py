"""A page that stays open while its runner freezes, ends, starts anew or reloads, also behind a bad proxy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from dozor.supervision.core.events import Pause
from tests.observed.stack import free_port
from tests.system.process import DOZOR, Process
from tests.waiting import until
from tests.web.browser import Tab
from tests.web.site import Work, open_site

PATIENCE = 60.0
CHECKERS = """
import pathlib

async def check():
    if pathlib.Path("broken").exists():
        raise ValueError("the file says so")
"""
CONFIG = """
language: en
database: {{url: '{dsn}'}}
web: {{listen: '127.0.0.1:{port}'}}
supervision: {{blocked_loop_after: 1h}}
tasks:
"""
TASK = "  {name}: {{run: 'checkers_of_the_page:check', every: 200ms, restart_delay: 200ms}}\n"

FRESH = (
    "document.getElementById('stale').hidden && document.getElementById('live').textContent.includes('live')"
)
STALE = "!document.getElementById('stale').hidden"
READY = "document.getElementById('ready').innerText"
BANNER = "document.getElementById('stale').innerText"


class Running:
    """`dozor run` as a process, on one port for good."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self._folder = folder
        self._dsn = dsn
        self._port = free_port()
        self._starts = 0
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: Process
        (folder / "checkers_of_the_page.py").write_text(CHECKERS)

    def configure(self, *names: str) -> None:
        tasks = "".join(TASK.format(name=name) for name in names)
        (self._folder / "config.yaml").write_text(CONFIG.format(dsn=self._dsn, port=self._port) + tasks)

    async def start(self) -> None:
        self._starts += 1
        self.process = Process([DOZOR, "run"], cwd=self._folder, output=self._folder / f"log{self._starts}")
        await self.process.says("listening on", within=PATIENCE)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def running(database: str, tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path, database)
    running.configure("one", "two")
    await running.start()
    try:
        yield running
    finally:
        running.process.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tab: Tab, running: Running) -> None:
    """The tab is on the page of the running process, which is up to date."""
    await tab.open(running.url)
    await tab.until(FRESH, within=PATIENCE)


@pytest.mark.usefixtures("fresh")
async def test_a_frozen_runner_greys_the_page_until_it_goes_on(running: Running, tab: Tab) -> None:
    await tab.until(f"{READY} === 'ready'", within=PATIENCE)
    running.process.signal(signal.SIGSTOP)
    try:
        await tab.until(STALE, within=PATIENCE)
        assert "The runner has been silent since" in await tab.run(BANNER)
        assert await tab.run("document.getElementById('stale').getAttribute('role')") == "alert"
        colour = "getComputedStyle(document.getElementById('stale')).backgroundColor"
        assert await tab.run(colour) == "rgb(179, 20, 31)"
        assert "grayscale(1)" in await tab.run("getComputedStyle(document.querySelector('main')).filter")
        assert await tab.run(READY) == "no connection"
        assert await tab.run("document.title") == "(!) Dozor"
        assert "live" not in await tab.run("document.getElementById('live').innerText")
        assert "cf222e" in await tab.run("document.getElementById('icon').href"), "a red icon"
    finally:
        running.process.signal(signal.SIGCONT)
    await tab.until(
        f"{FRESH} && getComputedStyle(document.querySelector('main')).filter === 'none'"
        f" && {READY} === 'ready' && document.title === 'Dozor'",
        within=PATIENCE,
    )


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("killed", [False, True])
async def test_an_ended_runner_is_said_and_its_successor_taken_up(
    running: Running, tab: Tab, killed: bool
) -> None:
    before = await tab.run("document.getElementById('runner').innerText")
    await tab.run("window.mark = 'not loaded anew'")
    if killed:
        running.process.kill()
    else:
        await running.process.stop()
    await tab.until(STALE, within=PATIENCE)
    await tab.until(f"{BANNER}.includes('No answer from the runner since')")
    running.configure("one", "three")
    await running.start()
    await tab.until(FRESH, within=PATIENCE)
    await tab.until("document.querySelector('[data-task=three]')", within=PATIENCE)
    await tab.until("!document.querySelector('[data-task=two]')")
    after = await tab.run("document.getElementById('runner').innerText")
    assert before.startswith("Runner 1,")
    assert after.startswith("Runner 2,")
    assert await tab.run("window.mark") == "not loaded anew"


@pytest.mark.usefixtures("fresh")
async def test_tasks_that_are_added_removed_or_broken_meanwhile_appear(
    running: Running, tab: Tab, tmp_path: Path
) -> None:
    running.configure("one", "three", "four")
    running.process.signal(signal.SIGHUP)
    await tab.until("document.querySelector('#healthy [data-task=three]')", within=PATIENCE)
    await tab.until("document.querySelector('#healthy [data-task=four]')")
    await tab.until("!document.querySelector('[data-task=two]')")
    await tab.until("document.querySelector('[data-count=all]').innerText === '3'")
    (tmp_path / "broken").touch()
    await tab.until("document.querySelectorAll('#broken [data-task]').length === 3", within=PATIENCE)
    await tab.until("document.querySelectorAll('[data-incident]').length === 3", within=PATIENCE)
    assert "the file says so" in await tab.run("document.getElementById('broken').innerText")
    await tab.until("document.title === '(3) Dozor'")
    assert tab.console == []


@pytest.mark.usefixtures("fresh")
async def test_the_page_of_a_task_follows_as_well(running: Running, tab: Tab, tmp_path: Path) -> None:
    await tab.open(f"{running.url}/task/one")
    await tab.until(FRESH, within=PATIENCE)
    (tmp_path / "broken").touch()
    await tab.until("document.querySelector('.task').classList.contains('stopped')", within=PATIENCE)
    await tab.until(
        "document.getElementById('traceback').innerText.includes('the file says so')", within=PATIENCE
    )
    await tab.until("document.querySelector('#incidents [data-incident]')", within=PATIENCE)
    running.process.signal(signal.SIGSTOP)
    try:
        await tab.until(STALE, within=PATIENCE)
    finally:
        running.process.signal(signal.SIGCONT)
    await tab.until(FRESH, within=PATIENCE)
    running.configure("two")
    running.process.signal(signal.SIGHUP)
    await tab.until("document.body.innerText.includes('no longer in the configuration')", within=PATIENCE)


PREFIX = "/watch"


class Proxy:
    """In front of a site, under a path of its own. `broken`: answers 503; streams wait for `released`."""

    def __init__(self) -> None:
        self.broken = False
        self.released = asyncio.Event()
        self.released.set()
        self.streams = 0
        self.open = 0
        """Event streams that are open now."""

    @asynccontextmanager
    async def serve(self, target: str) -> AsyncIterator[str]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if self.broken:
                raise web.HTTPServiceUnavailable
            address = target + str(request.rel_url).removeprefix(PREFIX)
            async with http.get(address, headers=_end_to_end(request)) as answer:
                response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer))
                await response.prepare(request)
                if request.path != f"{PREFIX}/api/events":
                    await response.write(await answer.read())
                    return response
                self.streams += 1
                self.open += 1
                try:
                    await self.released.wait()
                    async with asyncio.TaskGroup() as both:
                        passing = both.create_task(_pass_on(answer, response))
                        while not passing.done() and not self.broken:  # noqa: ASYNC110 -- an attribute has no event
                            await asyncio.sleep(0.05)
                        passing.cancel()
                except* ConnectionResetError:
                    pass  # the page has closed it
                finally:
                    self.open -= 1
                return response

        app = web.Application()
        app.router.add_route("*", f"{PREFIX}/{{path:.*}}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            await site.start()
            try:
                yield f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}/"
            finally:
                self.released.set()
                await runner.cleanup()


async def _pass_on(answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    while piece := await answer.content.readany():
        await response.write(piece)


def _end_to_end(message: web.Request | aiohttp.ClientResponse) -> dict[str, str]:
    hop_by_hop = ("host", "connection", "transfer-encoding", "keep-alive")
    return {name: value for name, value in message.headers.items() if name.lower() not in hop_by_hop}


TASKS = "good: {run: 'm:f', every: 1h}\nother: {run: 'm:f', every: 1h}"


async def test_a_proxy_that_answers_503_is_said_and_asked_again(
    database: str, tmp_path: Path, work: Work, tab: Tab
) -> None:
    proxy = Proxy()
    checkers = {"good": work.run, "other": work.run}
    async with (
        open_site(tmp_path, database, checkers, tasks=TASKS) as site,
        proxy.serve(site.url) as url,
    ):
        await tab.open(url)
        await tab.until(FRESH, within=PATIENCE)
        proxy.broken = True
        await tab.until(STALE, within=PATIENCE)
        await tab.until(f"{BANNER}.includes('error 503')")
        site.runner.supervisor.command("good", Pause("telegram:111"))
        proxy.broken = False
        await tab.until(FRESH, within=PATIENCE)
        await tab.until("document.querySelector('#paused [data-task=good]')", within=PATIENCE)
        await until(lambda: proxy.streams >= 2, within=PATIENCE)  # the stream is opened again
        await tab.run("document.querySelector('[data-task=good] a').click()")
        await tab.until("document.querySelector('#timeline li')", within=PATIENCE)
        await tab.run("document.querySelector('.brand').click()")
        await tab.until("document.querySelector('[data-task=good]')", within=PATIENCE)
        assert await tab.run("location.pathname") == f"{PREFIX}/"


async def test_behind_a_proxy_that_holds_streams_back_the_page_polls(
    database: str, tmp_path: Path, work: Work, tab: Tab
) -> None:
    proxy = Proxy()
    proxy.released.clear()
    checkers = {"good": work.run, "other": work.run}
    async with (
        open_site(tmp_path, database, checkers, tasks=TASKS) as site,
        proxy.serve(site.url) as url,
    ):
        await tab.open(url)
        await tab.until("document.getElementById('live').innerText.includes('polling')", within=PATIENCE)
        site.runner.supervisor.command("good", Pause("telegram:111"))
        await tab.until("document.querySelector('#paused [data-task=good]')", within=PATIENCE)
        assert await tab.run("document.getElementById('stale').hidden")
        proxy.released.set()
        await tab.until("document.getElementById('live').innerText === '● live'", within=PATIENCE)


async def test_a_page_too_many_for_streams_polls(
    database: str, tmp_path: Path, work: Work, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor.web.page.live_page.STREAMS", 0)
    checkers = {"good": work.run, "other": work.run}
    async with open_site(tmp_path, database, checkers, tasks=TASKS) as site:
        await tab.open(site.url)
        await tab.until("document.getElementById('live').innerText.includes('polling')", within=PATIENCE)
        site.runner.supervisor.command("good", Pause("telegram:111"))
        await tab.until("document.querySelector('#paused [data-task=good]')", within=PATIENCE)
        assert await tab.run("document.getElementById('stale').hidden")


async def test_the_page_of_a_task_that_nobody_sees_holds_no_connection(
    database: str, tmp_path: Path, work: Work, tab: Tab
) -> None:
    proxy = Proxy()
    checkers = {"good": work.run, "other": work.run}
    hide = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {}}});" + (
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    async with (
        open_site(tmp_path, database, checkers, tasks=TASKS) as site,
        proxy.serve(site.url) as url,
    ):
        await tab.open(f"{url}task/good")
        await tab.until(FRESH, within=PATIENCE)
        await until(lambda: proxy.open == 1, within=PATIENCE)
        await tab.run(hide.format("true"))
        await until(lambda: proxy.open == 0, within=PATIENCE)
        site.runner.supervisor.command("good", Pause("telegram:111"))
        await tab.run(hide.format("false"))
        await tab.until("document.querySelector('.task').classList.contains('paused')", within=PATIENCE)
        await until(lambda: proxy.open == 1, within=PATIENCE)
        assert await tab.run("document.getElementById('stale').hidden")
