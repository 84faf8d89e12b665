"""`/`, `/task/NAME` and their updates: an event stream, and polling where no stream gets through.

EventSource gives up after an answer other than 200 (https://html.spec.whatwg.org/#sse-processing-model), and
a proxy may hold a stream back: so the script requests `/api/page` when the stream is idle.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter

from aiohttp import web

from dozor.language.names import Language
from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import SupervisedTask
from dozor.web.http.connections import CONNECTIONS
from dozor.web.http.reuse import Reused
from dozor.web.http.sending import EventStream, answer
from dozor.web.page.detail import Details, days_of
from dozor.web.page.frame import Page
from dozor.web.page.updates import Follower, Updates
from dozor.web.page.view import Wanted
from dozor.web.sources import Sources

EVERY = 1.0
"""Seconds between looks for changes."""
BEAT_EVERY = 2.0
"""Seconds without a change after which a sign of life is sent."""
STREAMS = 100
"""Pages kept up to date by a stream at once; the others poll."""
STREAMS_OF_ADDRESS = 40
"""Of these from one address. Behind a reverse proxy all pages come from its address."""
TAKEN_WITHIN = 20.0
"""Seconds in which a page must take what is sent to it."""
SEARCH_LENGTH = 64
JSON = "application/json"


class LivePage:
    """The handlers. `close` ends all streams: a browser connects anew, to whoever answers then."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._updates = Updates(sources)
        self._details = Details(sources)
        self._streams: Counter[str] = Counter()
        """Open streams by address."""
        self._placeholder = secrets.token_urlsafe(16)
        self._texts: Reused[tuple[Wanted, Language, bool], str] = Reused()
        self._closing = asyncio.Event()

    async def close(self, app: web.Application) -> None:
        self._closing.set()

    async def page(self, request: web.Request) -> web.Response:
        """All tasks as they are now."""
        return await self._page(request, Wanted(_search(request), _state(request)), None)

    async def task_page(self, request: web.Request) -> web.Response:
        """One task. 404 if it is not configured."""
        name = request.match_info["name"]
        task = self._sources.supervisor.find(name)
        return await self._page(request, Wanted(task=name), task, status=404 if task is None else 200)

    async def poll(self, request: web.Request) -> web.Response:
        """What has changed since the revision the page has."""
        follower = self._follower(request)
        pieces = await self._updates.news(follower)
        return await answer(request, pieces or [self._updates.beat(follower)], JSON)

    async def detail(self, request: web.Request) -> web.Response:
        """The history of one task. 404 if it is not configured, 503 while the database is away."""
        task = self._sources.supervisor.find(request.match_info["name"])
        if task is None:
            return await answer(request, ["{}"], JSON, status=404)
        text = await self._details.of_task(task, days_of(request.query.get("days", "")))
        return await answer(request, [text or "{}"], JSON, status=200 if text else 503)

    async def why(self, request: web.Request) -> web.Response:
        """Why messages about an incident were sent or not. 404: no such incident, 503: no database now."""
        number = request.match_info["number"]
        text = await self._details.why(int(number), _language(request, self._sources.language))
        status = 503 if text is None else 200 if text else 404
        return await answer(request, [text or "{}"], JSON, status=status)

    async def bars(self, request: web.Request) -> web.Response:
        """The last periods of the named tasks; 503 while the database is away."""
        found = (self._sources.supervisor.find(name) for name in request.query.getall("task", []))
        text = await self._details.bars([task for task in found if task is not None])
        return await answer(request, [text or "{}"], JSON, status=200 if text else 503)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What changes of the tasks of one page, for as long as it is open."""
        address = request.remote or ""
        if self._streams.total() >= STREAMS or self._streams[address] >= STREAMS_OF_ADDRESS:
            raise web.HTTPServiceUnavailable(text="too many open pages", headers={"Retry-After": "30"})
        connection = request.app[CONNECTIONS].of(request) if CONNECTIONS in request.app else None
        stream = EventStream(request)
        self._streams[address] += 1
        try:
            await stream.open()
            if connection is not None:
                connection.keep_open()
            await self._send(stream, self._follower(request))
        except (ConnectionResetError, TimeoutError):
            pass  # the page has been closed, or takes nothing any more
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]
        return stream.response

    async def _send(self, stream: EventStream, follower: Follower) -> None:
        clock = self._sources.clock
        sent_at = float("-inf")
        while not self._closing.is_set():
            pieces = await self._updates.news(follower)
            if pieces is not None:
                async with asyncio.timeout(TAKEN_WITHIN):
                    await stream.send("update", "".join(pieces), follower.token)
                sent_at = clock.now()
            elif clock.now() - sent_at >= BEAT_EVERY:
                async with asyncio.timeout(TAKEN_WITHIN):
                    await stream.send("update", self._updates.beat(follower), follower.token)
                sent_at = clock.now()
            try:
                async with asyncio.timeout(EVERY):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _page(
        self, request: web.Request, wanted: Wanted, task: SupervisedTask | None, *, status: int = 200
    ) -> web.Response:
        language, explicit = _language(request, self._sources.language), "lang" in request.query
        text = await self._texts.get(
            (wanted, language, explicit), lambda: self._render(wanted, language, explicit, task)
        )
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy}
        text = text.replace(self._placeholder, nonce)
        return await answer(request, [text], "text/html", status=status, headers=headers)

    async def _render(
        self, wanted: Wanted, language: Language, explicit: bool, task: SupervisedTask | None
    ) -> str:
        """With `_placeholder` in the place of the nonce, which is another one in each answer."""
        follower = Follower(wanted, language)
        update = await self._updates.everything(follower)
        page = Page(self._sources, language, self._placeholder, explicit=explicit)
        broken = self._updates.broken(language) if wanted.task is None else []
        pieces = page.render(
            wanted,
            update,
            kinds=self._updates.page_views(language).kinds(),
            actions=self._updates.page_views(language).actions(),
            about=None if task is None else self._updates.task_views(language).about(task),
            page=follower.page or {},
            broken=broken,
        )
        return "".join(pieces)

    def _follower(self, request: web.Request) -> Follower:
        query = request.query
        wanted = Wanted(_search(request), _state(request), query.get("task"))
        token = request.headers.get("Last-Event-ID", query.get("since", ""))
        return self._updates.resume(Follower(wanted, _language(request, self._sources.language), token))


def routes(sources: Sources, app: web.Application) -> list[web.RouteDef]:
    live = LivePage(sources)
    app.on_shutdown.append(live.close)
    return [
        web.get("/", live.page),
        web.get("/task/{name}", live.task_page),
        web.get("/api/page", live.poll),
        web.get("/api/task/{name}", live.detail),
        web.get(r"/api/why/{number:[0-9]{1,19}}", live.why),
        web.get("/api/bars", live.bars),
        web.get("/api/events", live.events),
    ]


def _search(request: web.Request) -> str:
    return request.query.get("q", "").strip()[:SEARCH_LENGTH]


def _state(request: web.Request) -> State | None:
    try:
        return State(request.query.get("state", ""))
    except ValueError:
        return None


def _language(request: web.Request, configured: Language) -> Language:
    try:
        return Language(request.query.get("lang", configured.value))
    except ValueError:
        return configured
