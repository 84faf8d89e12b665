"""What the status page shows, as plain data: for the first rendering and for what is sent after it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from dozor.alerting.model.incident import Incident
from dozor.control.queries.outbox import OwedMessage, read_owed
from dozor.control.queries.uptime_bars import NONE, OK, PERIODS, SHORTEST, period_of, read_bars
from dozor.control.readiness import judge
from dozor.storage.postgres.pool import unavailable
from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import Supervised
from dozor.web.live import ASK_SECONDS
from dozor.web.sources import Sources

SHOWN = 200
"""Tasks on one page; those that need a person come first."""
TEXT = 600
"""Characters of an error's text."""

_TROUBLE = {State.STOPPED: 0, State.BACKOFF: 1, State.HELD: 2, State.PAUSED: 3}


@dataclass(frozen=True, slots=True)
class Selection:
    """The tasks of one page, and how many there are in all."""

    tasks: tuple[Supervised, ...]
    total: int


def select(sources: Sources, wanted: str) -> Selection:
    """Tasks whose name has `wanted` in it; all in the order of the configuration if they fit."""
    found = [t for t in sources.supervisor.tasks if wanted.casefold() in t.spec.name.casefold()]
    if len(found) > SHOWN:
        found.sort(key=lambda task: _TROUBLE.get(task.state.state, 9))
    return Selection(tuple(found[:SHOWN]), len(found))


def task_view(task: Supervised) -> dict[str, Any]:
    """What changes of one task. Times are seconds since the epoch."""
    state = task.state
    failure = state.past.failure
    failing = state.past.failing_since is not None
    error = f"{failure.error_type}: {failure.error_text}"[:TEXT] if failure is not None and failing else None
    return {
        "name": task.spec.name,
        "state": state.state.value,
        "streak": state.failures,
        "limit": task.spec.policy.max_consecutive_failures,
        "succeeded": state.succeeded_at,
        "next": state.due_at if state.next_at is not None and state.running_since is None else None,
        "running": state.running_since,
        "error": error,
        "where": failure.where if failure is not None and failing else None,
        "by": state.past.by if state.state in (State.PAUSED, State.STOPPED) else None,
        "progress": None if task.progress is None else list(task.progress),
        "backlog": None if task.backlog is None else task.backlog[0],
    }


def counts(sources: Sources) -> dict[str, int]:
    """Tasks by state, of all of them."""
    found = dict.fromkeys((state.value for state in State), 0)
    for task in sources.supervisor.tasks:
        found[task.state.state.value] += 1
    return found


def incident_view(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "task": incident.task,
        "severity": incident.severity.value,
        "state": incident.state.value,
        "summary": incident.summary[:TEXT],
        "opened": incident.opened_at,
        "by": incident.acknowledged_by,
    }


def owed_view(message: OwedMessage) -> dict[str, Any]:
    return {
        "kind": message.kind,
        "task": message.task,
        "attempts": message.attempts,
        "error": (message.last_error or "")[:200],
        "since": message.created_at,
    }


def readiness_view(sources: Sources) -> dict[str, Any]:
    readiness = judge(sources.vitals())
    return {"ready": readiness.ready, "reasons": list(readiness.reasons)}


async def owed_now(sources: Sources) -> tuple[OwedMessage, ...]:
    """Empty while the database is away."""
    try:
        async with asyncio.timeout(ASK_SECONDS), sources.pool.acquire() as connection:
            return await read_owed(connection)
    except Exception as error:
        if not unavailable(error):
            raise
        return ()


async def bars_now(sources: Sources, tasks: tuple[Supervised, ...]) -> dict[str, tuple[float, str]]:
    """The period in seconds and its signs, by task; empty while the database is away."""
    periods = {task.spec.name: period_of(task.spec.policy.schedule) for task in tasks}
    try:
        async with asyncio.timeout(ASK_SECONDS * 3), sources.pool.acquire() as connection:
            bars = await read_bars(connection, periods)
    except Exception as error:
        if not unavailable(error):
            raise
        return {}
    now = sources.clock.now()
    return {
        task.spec.name: (periods[task.spec.name], _with_present_run(task, bars[task.spec.name], now))
        for task in tasks
    }


def _with_present_run(task: Supervised, signs: str, now: float) -> str:
    """A continuous run has no end yet, and so no row: it counts for the periods since it began."""
    since = task.state.running_since
    if since is None or not task.spec.policy.continuous:
        return signs
    covered = min(PERIODS, int((now - since) / SHORTEST) + 1)
    return signs[:-covered] + signs[-covered:].replace(NONE, OK)
