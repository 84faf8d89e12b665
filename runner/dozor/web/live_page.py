"""`/` and what keeps it up to date: server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from aiohttp import web

from dozor.control.queries.outbox import OwedMessage
from dozor.language.names import Language
from dozor.supervision.core.state import TaskState
from dozor.web.page import Page
from dozor.web.sources import Sources
from dozor.web.texts import schedule_text, texts_of
from dozor.web.view import (
    bars_now,
    counts,
    incident_view,
    owed_now,
    owed_view,
    readiness_view,
    select,
    task_view,
)

EVERY = 1.0
"""Seconds between looks for changes."""
INCIDENTS = 50
"""Open incidents on one page."""
OWED_EVERY = 5
BARS_EVERY = 60
KEEP_ALIVE_EVERY = 15
"""In looks."""
STREAMS = 100
"""Pages kept up to date at once."""
WANTED_LENGTH = 64


class LivePage:
    """The handlers of `/` and `/api/events`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._streams = 0
        self._counts: dict[str, int] = {}
        self._counted_at = float("-inf")

    async def page(self, request: web.Request) -> web.Response:
        """The page as it is now."""
        sources = self._sources
        nonce = secrets.token_urlsafe(16)
        wanted = _wanted(request)
        selection = select(sources, wanted)
        language = _language(request, sources.language)
        texts = texts_of(language)
        page = Page(language, sources.clock.now(), nonce)
        text = page.render(
            sources.runner,
            self._view(await owed_now(sources)),
            [task_view(task) for task in selection.tasks],
            {
                task.spec.name: (schedule_text(texts, task.spec.policy.schedule), task.spec.description)
                for task in selection.tasks
            },
            await bars_now(sources, selection.tasks),
            total=selection.total,
            wanted=wanted,
            may_act=sources.token is not None,
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        return web.Response(
            body=text.encode("utf-8", "replace"),
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What changes of the tasks of one page, for as long as it is open."""
        if self._streams >= STREAMS:
            raise web.HTTPServiceUnavailable(text="too many open pages", headers={"Retry-After": "30"})
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        self._streams += 1
        try:
            await response.prepare(request)
            await self._send(response, _wanted(request))
        except ConnectionResetError:
            pass  # the page has been closed
        finally:
            self._streams -= 1
        return response

    async def _send(self, response: web.StreamResponse, wanted: str) -> None:
        sources = self._sources
        selection = select(sources, wanted)
        seen: dict[str, TaskState] = {}
        shown: dict[str, Any] = {}
        owed: tuple[OwedMessage, ...] = ()
        look = 0
        while True:
            changed = [task for task in selection.tasks if seen.get(task.spec.name) is not task.state]
            seen.update((task.spec.name, task.state) for task in changed)
            if changed:
                await _event(response, "tasks", [task_view(task) for task in changed])
            if look % OWED_EVERY == 0:
                owed = await owed_now(sources)
            view = self._view(owed)
            if view != shown:
                shown = view
                await _event(response, "page", view)
            if look and look % BARS_EVERY == 0:
                await _event(response, "bars", await bars_now(sources, selection.tasks))
            if look and look % KEEP_ALIVE_EVERY == 0:
                await response.write(b":\n\n")
            look += 1
            await asyncio.sleep(EVERY)

    def _view(self, owed: tuple[OwedMessage, ...]) -> dict[str, Any]:
        sources = self._sources
        return {
            "readiness": readiness_view(sources),
            "counts": self._counts_now(),
            "incidents": [incident_view(one) for one in sources.open_incidents()[:INCIDENTS]],
            "owed": [owed_view(message) for message in owed],
        }

    def _counts_now(self) -> dict[str, int]:
        """Of thousands of tasks, however many pages are open, once in a while."""
        now = self._sources.clock.now()
        if now - self._counted_at > EVERY / 2:
            self._counts, self._counted_at = counts(self._sources), now
        return self._counts


def routes(sources: Sources) -> list[web.RouteDef]:
    live = LivePage(sources)
    return [web.get("/", live.page), web.get("/api/events", live.events)]


async def _event(response: web.StreamResponse, name: str, data: Any) -> None:
    """JSON holds no line end, so one `data:` line does."""
    text = json.dumps(data)
    await response.write(f"event: {name}\ndata: {text}\n\n".encode())


def _wanted(request: web.Request) -> str:
    return request.query.get("q", "").strip()[:WANTED_LENGTH]


def _language(request: web.Request, configured: Language) -> Language:
    try:
        return Language(request.query.get("lang", configured.value))
    except ValueError:
        return configured
