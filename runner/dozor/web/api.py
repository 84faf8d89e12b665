"""Health and status as JSON, for probes, monitoring services and programs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from aiohttp import web

from dozor.config.sections.config import WebPublic
from dozor.control.queries.status import StatusReport
from dozor.control.readiness import evaluate
from dozor.web.health import Pulse, unwell
from dozor.web.http.reuse import Reused
from dozor.web.live import PendingAlerts, task_status
from dozor.web.sources import SOURCES, Sources

AT_ONCE = 250
"""Tasks handled before the loop gets its turn: some milliseconds."""


async def healthz(request: web.Request) -> web.Response:
    """200 while the control loop keeps its plan. A blocked loop does not answer: give probes a time-out."""
    sources = request.app[SOURCES]
    now = sources.clock.now()
    pulse = Pulse(sources.supervisor.late_by(now), now - sources.supervisor.last_tick_at)
    answer = {
        "alive": pulse.alive,
        "late_s": round(pulse.late, 3),
        "last_tick_s": round(pulse.last_tick, 3),
    }
    return _json(answer, ok=pulse.alive)


async def readyz(request: web.Request) -> web.Response:
    """200 if the runner can do its job, else 503 with every reason."""
    sources = request.app[SOURCES]
    vitals = sources.vitals()
    readiness = evaluate(vitals)
    if sources.public is WebPublic.NOTHING:
        return _json({"ready": readiness.ready}, ok=readiness.ready)
    polled_at = vitals.telegram_polled_at
    answer = {
        "ready": readiness.ready,
        "reasons": list(readiness.reasons),
        "telegram_last_poll_s": None if polled_at is None else round(vitals.now - polled_at, 1),
    }
    return _json(answer, ok=readiness.ready)


async def health_tasks(request: web.Request) -> web.Response:
    """503 while a task is stopped or overdue, and which."""
    sources = request.app[SOURCES]
    now = sources.clock.now()
    tasks = sources.supervisor.tasks
    found = unwell(tasks, now)
    answer = {
        "ok": not found,
        "tasks": len(tasks),
        "unwell": [{"task": one.task, "state": one.state.value, "reason": one.reason} for one in found],
    }
    return _json(answer, ok=not found)


class Status:
    """The handler of `/api/status`."""

    def __init__(self, sources: Sources, owed: PendingAlerts) -> None:
        self._sources = sources
        self._owed = owed
        self._texts: Reused[None, str] = Reused()

    async def handle(self, request: web.Request) -> web.Response:
        """What `dozor status --json` prints; from memory, so also while the database is away."""
        return _answer(await self._texts.get(None, self._make), ok=True)

    async def _make(self) -> str:
        report = await read_live(self._sources, self._owed)
        tasks = []
        for index, task in enumerate(report.tasks):
            if index % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            tasks.append(json.dumps(task.to_json(), ensure_ascii=False))
        around = json.dumps(replace(report, tasks=()).to_json(), ensure_ascii=False)
        # Within a JSON string the quotes would be escaped: this can only be the list itself.
        return around.replace('"tasks": []', f'"tasks": [{", ".join(tasks)}]', 1)


async def read_live(sources: Sources, owed: PendingAlerts) -> StatusReport:
    """The status as the runner has it in memory; thousands of tasks without holding up the loop."""
    alerts = await owed.read()
    now = sources.clock.now()
    tasks = []
    for index, task in enumerate(sources.supervisor.tasks):
        if index % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        tasks.append(task_status(task, now))
    return StatusReport(sources.runner, tuple(tasks), alerts, now)


def _json(answer: dict[str, Any], *, ok: bool) -> web.Response:
    return _answer(json.dumps(answer, ensure_ascii=False), ok=ok)


def _answer(text: str, *, ok: bool) -> web.Response:
    return web.Response(
        body=f"{text}\n".encode("utf-8", "replace"),
        status=200 if ok else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
