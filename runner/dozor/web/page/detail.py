"""The history of tasks and incidents as JSON, read from the database when a page asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dozor.alerting.rendering.decisions import why_lines
from dozor.alerting.rendering.phrases import Phrasebook
from dozor.control.queries.history import HistoryEvent, HistoryKind
from dozor.control.queries.statistics import Portion, Statistics
from dozor.control.queries.task_detail import PORTIONS, TaskDetail, read_detail
from dozor.control.queries.uptime_bars import NONE, OK, PERIODS, SHORTEST, Bars, period_of, read_bars
from dozor.control.queries.why import read_why
from dozor.language.names import Language
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import unavailable
from dozor.supervision.tasks.task import SupervisedTask
from dozor.tracebacks import error_line
from dozor.web.http.reuse import Reused
from dozor.web.sources import Sources

ASK_SECONDS = 5.0
"""How long the database may take."""
AT_ONCE = 2
"""Pages whose history is read at once: nobody needs a password, and the database has other work."""
BARS = 60
"""Tasks in one answer."""
TEXT = 600
TRACEBACK = 20_000
"""Characters of a traceback; of a longer one the end is shown, where the error stands."""


def days_of(text: str) -> int:
    """The length of the chart; a day if `text` is no other known one."""
    return int(text) if text.isdecimal() and len(text) < 4 and int(text) in PORTIONS else 1


class Details:
    """None while the database is away."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._texts: Reused[tuple[object, ...], str | None] = Reused()

    async def bars(self, tasks: Sequence[SupervisedTask]) -> str | None:
        """Periods by task; of the first BARS tasks."""
        by_name = {task.spec.name: task for task in tasks[:BARS]}
        return await self._texts.get(tuple(by_name), lambda: self._bars(by_name))

    async def of_task(self, task: SupervisedTask, days: int) -> str | None:
        """`days`: of the chart, a key of PORTIONS."""
        return await self._texts.get((task.spec.name, days), lambda: self._of_task(task, days))

    async def _bars(self, by_name: dict[str, SupervisedTask]) -> str | None:
        periods = {name: period_of(task.spec.policy.schedule) for name, task in by_name.items()}
        try:
            async with (
                self._turns,
                asyncio.timeout(ASK_SECONDS),
                self._sources.pool.acquire() as connection,
            ):
                found = await read_bars(connection, periods)
        except Exception as error:
            if not unavailable(error):
                raise
            return None
        now = self._sources.clock.now()
        return json.dumps(
            {
                "now": round(now, 3),
                "bars": {
                    name: _bars(with_present_run(by_name[name], bars, now), periods[name])
                    for name, bars in found.items()
                },
            }
        )

    async def _of_task(self, task: SupervisedTask, days: int) -> str | None:
        try:
            async with (
                self._turns,
                asyncio.timeout(ASK_SECONDS),
                self._sources.pool.acquire() as connection,
            ):
                found = await read_detail(connection, task.spec.name, days)
        except Exception as error:
            if not unavailable(error):
                raise
            return None
        return json.dumps(self._view(task, found, days), ensure_ascii=False)

    async def why(self, number: int, language: Language) -> str | None:
        """Why messages about an incident were sent or not, a line for each decision; "" if there is none."""
        now = self._sources.clock.now()
        try:
            async with (
                self._turns,
                asyncio.timeout(ASK_SECONDS),
                self._sources.pool.acquire() as connection,
            ):
                found = await read_why(connection, number, now)
        except Exception as error:
            if not unavailable(error):
                raise
            return None
        if found is None:
            return ""
        zone = ZoneInfo(self._sources.timezone)
        say = Phrasebook(Translator(language), zone, now, found.names.get)
        lines = list(why_lines(say, found.decisions, self._sources.place_of)) or [say("why-nothing")]
        if found.left_out:
            lines.insert(0, say("why-left-out", count=found.left_out))
        return json.dumps({"incident": found.id, "lines": lines}, ensure_ascii=False)

    def _view(self, task: SupervisedTask, found: TaskDetail, days: int) -> dict[str, Any]:
        return {
            "now": found.now,
            "runs": task.state.runs_total,
            "failures": task.state.failure_record.failures_total,
            "days": days,
            "windows": {str(window): _whole(part.whole) for window, part in found.windows.items()},
            "chart": _chart(found.chart),
            "errors": [
                {
                    "error": error_line(group.error_type, group.error_text)[:TEXT],
                    "times": group.times,
                    "first": group.first_at,
                    "last": group.last_at,
                }
                for group in found.errors
            ],
            "traceback": _traceback(task, found),
            "timeline": [self._event(event) for event in found.timeline],
            "incidents": [
                {
                    "id": one.id,
                    "kind": one.kind,
                    "severity": one.severity,
                    "summary": one.summary[:TEXT],
                    "failures": one.failures,
                    "opened": one.opened_at,
                    "taken": self._name(one.acknowledged_by),
                    "resolved": one.resolved_at,
                    "by": self._name(one.resolved_by),
                }
                for one in found.incidents
            ],
        }

    def _event(self, event: HistoryEvent) -> dict[str, Any]:
        text = self._name(event.text) if event.kind is HistoryKind.ACTION else event.text[:TEXT]
        return {
            "kind": event.kind.value,
            "at": event.at,
            "name": event.name,
            "runs": event.runs,
            "seconds": event.longest if event.longest is not None else event.seconds,
            "text": text,
            "number": event.number,
            "ended": event.ended_at,
        }

    def _name(self, actor: str | None) -> str | None:
        return None if actor is None else self._sources.name_of(actor) or actor


def with_present_run(task: SupervisedTask, bars: Bars, now: float) -> Bars:
    """A continuous run has no end yet, and so no row: it counts for the periods since it began."""
    since = task.state.running_since
    if since is None or not task.spec.policy.continuous:
        return bars
    covered = min(PERIODS, int((now - since) / SHORTEST) + 1)
    return Bars(bars.signs[:-covered] + bars.signs[-covered:].replace(NONE, OK), bars.failed)


def _bars(bars: Bars, period: float) -> dict[str, Any]:
    return {"period": period, "signs": bars.signs, "failed": bars.failed}


def _traceback(task: SupervisedTask, found: TaskDetail) -> dict[str, Any] | None:
    """What the runner has in memory is newer than what is stored."""
    past = task.state.failure_record
    if past.failure is not None and past.failed_at is not None and past.failure.traceback:
        return {"at": past.failed_at, "text": past.failure.traceback[-TRACEBACK:]}
    if found.traceback is not None:
        return {"at": found.traceback.at, "text": found.traceback.text[-TRACEBACK:]}
    return None


def _whole(portion: Portion | None) -> dict[str, Any] | None:
    if portion is None:
        return None
    return {"ok": portion.succeeded, "failed": portion.failed, "p50": portion.p50, "p95": portion.p95}


def _chart(part: Statistics) -> dict[str, Any]:
    """Portions as (index, successes, failures, p50, p95)."""
    return {
        "since": part.since,
        "width": part.width,
        "count": round((part.now - part.since) / part.width),
        "portions": [
            (round((one.at - part.since) / part.width), one.succeeded, one.failed, one.p50, one.p95)
            for one in part.portions
        ],
        "incidents": [(span.since, span.to, span.severity) for span in part.incidents],
    }
