"""The messages that keep a page up to date: the same JSON in the page itself, in polls and in the stream.

`now`: seconds since the epoch; `rev`: what to send back to receive later changes; `all`: `tasks` are all
that the page shows; `cut`: there are more than these; `page`: what is above and below them; `gone`: names of
tasks that are no longer configured. Parts that have not changed are left out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dozor.control.queries.outbox import PendingMessage, read_pending_messages
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import unavailable
from dozor.supervision.tasks.task import SupervisedTask
from dozor.web.http.reuse import Reused
from dozor.web.live import ASK_SECONDS
from dozor.web.page.feed import LOOK_EVERY, TaskFeed, is_healthy
from dozor.web.page.view import PageViews, TaskViews, Wanted, counts, health_rank, select
from dozor.web.sources import Sources

AT_ONCE = 250
"""Tasks handled before the loop gets its turn: some milliseconds."""
BROKEN = 100
"""Tasks listed on a page without a script."""
OWED_EVERY = 5.0
"""Seconds for which what was read of the outbox is reused for all pages."""


class Follower:
    """What was sent to one page. `token`: of the feed; `shown`: names, None if it shows all tasks."""

    def __init__(self, wanted: Wanted, language: Language, token: str = "") -> None:
        self.wanted = wanted
        self.language = language
        self.token = token
        self.shown: set[str] | None = None
        self.page: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Whole:
    """The first message of pages that ask for the same. `shown`: names, None if it shows all tasks."""

    pieces: list[str]
    token: str
    page: dict[str, Any]
    shown: frozenset[str] | None


class Updates:
    """Serves all pages; what is the same for all of them is computed once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._feed = TaskFeed(sources.supervisor, sources.clock, sources.runner.id)
        self._tasks = {language: TaskViews(sources, Translator(language)) for language in Language}
        self._pages = {language: PageViews(sources, Translator(language)) for language in Language}
        self._page_now: dict[Language, tuple[float, dict[str, Any]]] = {}
        self._owed: tuple[PendingMessage, ...] = ()
        self._owed_at = float("-inf")
        self._reading_owed = asyncio.Lock()
        self._wholes: Reused[tuple[Wanted, Language], _Whole] = Reused()

    def task_views(self, language: Language) -> TaskViews:
        return self._tasks[language]

    def page_views(self, language: Language) -> PageViews:
        return self._pages[language]

    def resume(self, follower: Follower) -> Follower:
        """A page that comes back: which tasks it shows is found anew."""
        selection = select(self._sources.supervisor.tasks, follower.wanted)
        if selection.cut:
            follower.shown = {task.spec.name for task in selection.tasks}
        return follower

    def broken(self, language: Language) -> list[dict[str, Any]]:
        """The tasks that need somebody, the worst first, for a page without a script."""
        now, views = self._sources.clock.now(), self._tasks[language]
        found = [task for task in self._sources.supervisor.tasks if not is_healthy(task)]
        return [views.view(task, now) for task in sorted(found, key=health_rank)[:BROKEN]]

    async def everything(self, follower: Follower) -> list[str]:
        """All that the page shows, as pieces of one JSON text; later changes follow from here on."""
        key = follower.wanted, follower.language
        whole = await self._wholes.get(key, lambda: self._whole(*key))
        follower.token, follower.page = whole.token, whole.page
        follower.shown = None if whole.shown is None else set(whole.shown)
        return whole.pieces

    async def _whole(self, wanted: Wanted, language: Language) -> _Whole:
        await self._read_owed()
        self._feed.look()
        now = self._sources.clock.now()
        selection = select(self._sources.supervisor.tasks, wanted)
        token, page = self._feed.token(), self._page(language, now)
        head = {"now": round(now, 3), "rev": token, "all": True, "cut": selection.cut}
        pieces = [_json(head)[:-1], ',"page":', _json(page), ',"tasks":[']
        pieces += await self._views(selection.tasks, language, now)
        pieces.append("]}")
        shown = frozenset(task.spec.name for task in selection.tasks) if selection.cut else None
        return _Whole(pieces, token, page, shown)

    async def news(self, follower: Follower) -> list[str] | None:
        """What has changed since the last message to the follower; None: nothing."""
        await self._read_owed()
        self._feed.look()
        now = self._sources.clock.now()
        changes = self._feed.since(follower.token)
        if changes is None:
            return await self.everything(follower)
        tasks = [task for task in changes.tasks if self._is_shown(task, follower)]
        page = self._page(follower.language, now)
        changed_page = page != follower.page
        removed = [name for name in changes.removed if follower.wanted.task in (None, name)]
        follower.token = self._feed.token(changes.revision)
        if not tasks and not removed and not changed_page:
            return None
        follower.page = page
        message: dict[str, Any] = {"now": round(now, 3), "rev": follower.token}
        if changed_page:
            message["page"] = page
        if removed:
            message["gone"] = removed
        pieces = [_json(message)[:-1]]
        if tasks:
            pieces += [',"tasks":[', *await self._views(tasks, follower.language, now), "]"]
        pieces.append("}")
        return pieces

    def beat(self, follower: Follower) -> str:
        """A sign of life."""
        return _json({"now": round(self._sources.clock.now(), 3), "rev": follower.token})

    async def _views(self, tasks: Sequence[SupervisedTask], language: Language, now: float) -> list[str]:
        views = self._tasks[language]
        pieces = []
        for start in range(0, len(tasks), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            pieces.append(",".join(_json(views.view(task, now)) for task in tasks[start : start + AT_ONCE]))
        return [piece for part in pieces for piece in (part, ",")][:-1]

    def _is_shown(self, task: SupervisedTask, follower: Follower) -> bool:
        """What breaks appears, even if the page was too short for it before."""
        if follower.wanted.task is not None:
            return follower.wanted.matches(task)
        if follower.shown is None or task.spec.name in follower.shown:
            return True
        if is_healthy(task) or not follower.wanted.matches(task):
            return False
        follower.shown.add(task.spec.name)
        return True

    def _page(self, language: Language, now: float) -> dict[str, Any]:
        made_at, page = self._page_now.get(language, (float("-inf"), {}))
        if not 0 <= now - made_at < LOOK_EVERY:
            page = self._pages[language].view(counts(self._sources.supervisor.tasks), self._owed)
            self._page_now[language] = now, page
        return page

    async def _read_owed(self) -> None:
        """While the database is away, what was last read is used."""
        async with self._reading_owed:
            now = self._sources.clock.now()
            if 0 <= now - self._owed_at < OWED_EVERY:
                return
            self._owed_at = now
            try:
                async with asyncio.timeout(ASK_SECONDS), self._sources.pool.acquire() as connection:
                    self._owed = await read_pending_messages(connection)
            except Exception as error:
                if not unavailable(error):
                    raise


def _json(value: Any) -> str:
    """As short as it gets, and safe inside a script element: `<` is written as an escape."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
