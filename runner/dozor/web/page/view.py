"""The data of the status page. Pure, except for what is read from the runner's memory.

Times of tasks are whole seconds relative to the `now` of the message that carries them, which is a fifth of
the bytes of absolute ones; what is zero, absent or usual is left out. All other times are seconds since the
epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import SEVERITY_RANK
from dozor.alerting.policy.silences import Silence
from dozor.config.values.incident_kinds import KINDS, IncidentKind
from dozor.control.queries.cluster import cluster_line, known_cluster
from dozor.control.queries.outbox import PendingMessage
from dozor.control.readiness import evaluate
from dozor.control.task_states import Health, health_of
from dozor.language.translator import Translator
from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import SupervisedTask
from dozor.tracebacks import error_line
from dozor.web.page.feed import is_healthy
from dozor.web.sources import Sources
from dozor.web.texts import schedule_text, texts_of

SHOWN = 2500
"""Tasks on one page; those that need a person come first, the search finds the others."""
TEXT = 600
"""Characters of an error's text."""
INCIDENTS = 50
"""Open incidents on one page."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for. `search`: a part of a name; `state` None: any; `task`: this one alone."""

    search: str = ""
    state: State | None = None
    task: str | None = None

    def matches(self, task: SupervisedTask) -> bool:
        if self.task is not None:
            return task.spec.name == self.task
        return (self.state is None or task.state.state is self.state) and (
            self.search.casefold() in task.spec.name.casefold()
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """The tasks of one page; `cut`: there are more than it shows, so that the server must search."""

    tasks: tuple[SupervisedTask, ...]
    cut: bool


def select(tasks: tuple[SupervisedTask, ...], wanted: Wanted) -> Selection:
    """All of them if they fit, since the page itself can search then; else the worst of the wanted ones."""
    if wanted.task is None and len(tasks) <= SHOWN:
        return Selection(tasks, cut=False)
    found = [task for task in tasks if wanted.matches(task)]
    if len(found) > SHOWN:
        found.sort(key=health_rank)
    return Selection(tuple(found[:SHOWN]), cut=wanted.task is None)


def health_rank(task: SupervisedTask) -> int:
    """The worst is 0. What runs well and yet is overdue or falls behind counts as failing."""
    health = health_of(task.state.state, task.state.failures)
    if health is Health.WELL and not is_healthy(task):
        return Health.FAILING.value
    return health.value


class TaskViews:
    """Tasks in the words of one language."""

    def __init__(self, sources: Sources, translator: Translator) -> None:
        self._texts = texts_of(translator.language)
        self._name_of = sources.name_of

    def view(self, task: SupervisedTask, now: float) -> dict[str, Any]:
        """What may change of one task."""
        state = task.state
        view: dict[str, Any] = {"name": task.spec.name, "state": state.state.value}
        if state.succeeded_at is not None:
            view["ok"] = round(state.succeeded_at - now)
        if state.running_since is not None:
            view["run"] = round(state.running_since - now)
        elif state.next_at is not None and state.due_at is not None:
            view["next"] = round(state.due_at - now)
        if task.progress is not None:
            view["progress"] = list(task.progress)
        if task.backlog is not None:
            view["backlog"] = task.backlog[0]
        if not is_healthy(task):
            view |= self._trouble(task, now)
        return view

    def about(self, task: SupervisedTask) -> dict[str, Any]:
        """What only a new configuration changes."""
        return {
            "schedule": schedule_text(self._texts, task.spec.policy.schedule),
            "description": task.spec.description,
        }

    def _trouble(self, task: SupervisedTask, now: float) -> dict[str, Any]:
        state, past = task.state, task.state.failure_record
        view: dict[str, Any] = {"rank": health_rank(task), **self.about(task)}
        if state.failures:
            view["streak"] = state.failures
            view["limit"] = task.spec.policy.max_consecutive_failures
        if past.failing_since is not None:
            view["since"] = round(past.failing_since - now)
            if past.failure is not None:
                view["error"] = error_line(past.failure.error_type, past.failure.error_text)[:TEXT]
                view["where"] = past.failure.where
        if state.state is State.PAUSED and past.last_actor is not None:
            view["by"] = self._name_of(past.last_actor) or past.last_actor
        if task.overdue:
            view["overdue"] = True
        if task.behind:
            view["behind"] = True
        return view


class PageViews:
    """What is above and below the tasks, in the words of one language."""

    def __init__(self, sources: Sources, translator: Translator) -> None:
        self._sources = sources
        self._translator = translator

    def view(self, counts: dict[str, int], owed: tuple[PendingMessage, ...]) -> dict[str, Any]:
        sources = self._sources
        readiness = evaluate(sources.vitals())
        incidents = sorted(sources.open_incidents(), key=_urgency)
        return {
            "runner": {
                "id": sources.runner.id,
                "host": sources.runner.host,
                "version": sources.runner.version,
                "started": sources.runner.started_at,
            },
            "cluster": self._cluster(),
            "ready": readiness.ready,
            "reasons": list(readiness.reasons),
            "counts": counts,
            "incidents": [self._incident(one) for one in incidents[:INCIDENTS]],
            "incidents_total": len(incidents),
            "oncall": self._on_call(),
            "owed": [_owed_view(message) for message in owed],
        }

    def _cluster(self) -> str | None:
        """Leader, standbys and workers in one line; None: without a cluster."""
        known = None if self._sources.cluster is None else known_cluster(self._sources.cluster)
        zone = ZoneInfo(self._sources.timezone)
        if known is None:
            return None
        return cluster_line(
            known, self._translator, lambda at: f"{datetime.fromtimestamp(at, zone):%d.%m. %H:%M}"
        )

    def kinds(self) -> dict[str, str]:
        """The names of the kinds of incidents."""
        return {kind.value: self._translator.format(KINDS[kind].text) for kind in IncidentKind}

    def actions(self) -> dict[str, str]:
        """The names of what people do, as the audit has it."""
        return {action: self._translator.format(key) for action, key in _ACTION_TEXTS.items()}

    def _incident(self, incident: Incident) -> dict[str, Any]:
        silence = None if incident.silenced_by is None else self._sources.silence(incident.silenced_by)
        return {
            "id": incident.id,
            "task": incident.task,
            "kind": incident.kind.value,
            "severity": incident.severity.value,
            "summary": incident.summary[:TEXT],
            "failures": incident.failures,
            "opened": incident.opened_at,
            "by": self._name(incident.acknowledged_by),
            "taken": incident.acknowledged_at,
            "silence": None if silence is None else self._silence(silence),
            "explained": incident.explained_by,
        }

    def _silence(self, silence: Silence) -> dict[str, Any]:
        return {"by": self._name(silence.created_by), "until": silence.ends_at}

    def _on_call(self) -> dict[str, Any] | None:
        shift = self._sources.on_call()
        return None if shift is None else {"name": shift.person, "until": shift.ends_at}

    def _name(self, actor: str | None) -> str | None:
        return None if actor is None else self._sources.name_of(actor) or actor


def counts(tasks: tuple[SupervisedTask, ...]) -> dict[str, int]:
    """Tasks by state."""
    found = dict.fromkeys((state.value for state in State), 0)
    for task in tasks:
        found[task.state.state.value] += 1
    return found


def _urgency(incident: Incident) -> tuple[int, bool, float]:
    """The worst first, of these the ones that nobody has acknowledged, of these the newest."""
    return -SEVERITY_RANK[incident.severity], incident.acknowledged_by is not None, -incident.opened_at


def _owed_view(message: PendingMessage) -> dict[str, Any]:
    return {
        "kind": message.kind,
        "task": message.task,
        "attempts": message.attempts,
        "error": (message.last_error or "")[:200],
        "since": message.created_at,
    }


_ACTION_TEXTS = {
    "restart": "did-restart",
    "pause": "did-pause",
    "resume": "did-resume",
    "run-now": "did-run",
    "ack": "did-ack",
    "unack": "did-unack",
    "silence": "did-silence",
    "unsilence": "did-unsilence",
}
