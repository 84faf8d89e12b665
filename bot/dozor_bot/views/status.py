"""The text of `/status`: the worst first, ten tasks a page, fit for a phone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded, error_span
from dozor.control.queries.cluster import cluster_line
from dozor.control.queries.status import StatusReport, TaskStatus
from dozor.control.queries.status_page import BROKEN, StatusPage, health
from dozor.control.task_states import STATES, Health
from dozor.language.times import ago, ahead, clock, duration, rough
from dozor.language.translator import Translator
from dozor.supervision.core.state import State

PAGE = 10
"""Tasks on one page."""
CARDS = 3
"""Buttons that lead from the list straight to what is broken."""
ERROR_IN_LIST = 100
NAME_UNITS = 60
LIST = "list"
"""The action of a button that shows a page: `list.<page><a|f>`."""


SIGNS = {Health.STOPPED: "🛑", Health.FAILING: "⚠️", Health.HELD: "⏳", Health.PAUSED: "⏸", Health.WELL: "✅"}

_COUNTS = {
    Health.STOPPED: "status-count-stopped",
    Health.FAILING: "status-count-failing",
    Health.HELD: "status-count-held",
    Health.PAUSED: "status-count-paused",
    Health.WELL: "status-count-well",
}


def worst_first(tasks: Iterable[TaskStatus]) -> list[TaskStatus]:
    """By health; the longest failing first; else in the order of the configuration."""
    return sorted(tasks, key=lambda task: (health(task), task.failing_since or float("inf")))


def state_words(translator: Translator, state: State) -> str:
    return translator.format(STATES[state].text)


def streak(task: TaskStatus) -> str:
    """ "3/5", "3" without a limit."""
    limit = task.max_consecutive_failures
    return f"{task.consecutive_failures}/{limit}" if limit is not None else str(task.consecutive_failures)


@dataclass(frozen=True, slots=True)
class View:
    """Which part of the list: pages count from 0; `failing`: only what is stopped or fails."""

    page: int = 0
    failing: bool = False

    @property
    def data(self) -> str:
        """As a button carries it."""
        return encode(Origin.MENU, f"{LIST}.{self.page}{'f' if self.failing else 'a'}", "-")


def read_view(text: str) -> View:
    """The inverse of `View.data`, of what stands behind the dot. Anything else is the first page."""
    page, kind = text[:-1], text[-1:]
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 0
    return View(number, kind == "f")


def status_message(
    page: StatusPage, translator: Translator, timezone: tzinfo, view: View, quiet: Sequence[str] = ()
) -> Message:
    """One page of all tasks, or of those that fail. `quiet`: the silences, each as a short text."""
    report, view = page.report, View(page.number, view.failing)
    spans = [Span(_summary(page, translator), Style.BOLD), *_troubles(report, translator, timezone)]
    if quiet:
        spans.append(Span("\n" + translator.format("status-silences", silences=", ".join(quiet))))
    if page.total:
        spans.append(Span("\n"))
    if view.failing and not report.tasks:
        spans.append(Span("\n" + translator.format("status-none-failing")))
    for task in report.tasks:
        spans += _lines(task, report.now, translator)
    at = clock(report.now, timezone, report.now)
    spans.append(Span("\n\n" + translator.format("status-at", at=at), Style.ITALIC))
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=_buttons(translator, view, page))


def _buttons(translator: Translator, view: View, page: StatusPage) -> tuple[tuple[Button, ...], ...]:
    rows: list[tuple[Button, ...]] = []
    for task in [task for task in page.report.tasks if health(task) in BROKEN][:CARDS]:
        label = f"{SIGNS[health(task)]} {shorten(one_line(task.name), NAME_UNITS)}"
        rows.append((Button(label, encode(Origin.MENU, "status", task.name)),))
    if page.pages > 1:
        before = View((view.page - 1) % page.pages, view.failing)
        after = View((view.page + 1) % page.pages, view.failing)
        count = Button(f"{view.page + 1}/{page.pages}", view.data)
        rows.append((Button("◀️", before.data), count, Button("▶️", after.data)))
    last = [Button(translator.format("button-refresh"), view.data)]
    broken = sum(page.counts.get(kind, 0) for kind in BROKEN)
    if view.failing:
        last.append(Button(translator.format("button-all"), View().data))
    elif 0 < broken < page.total:
        last.append(Button(translator.format("button-failing"), View(0, failing=True).data))
    return (*rows, tuple(last))


def runner_trouble(report: StatusReport, translator: Translator) -> str | None:
    """None: a runner is at work."""
    if report.runner is None:
        return translator.format("status-no-runner")
    if not report.runner.alive:
        silent = max(0.0, report.now - report.runner.seen_at)
        return translator.format("status-runner-gone", ago=ago(translator, silent))
    return None


def _summary(page: StatusPage, translator: Translator) -> str:
    if not page.total:
        return translator.format("status-no-tasks")
    if page.counts.get(Health.WELL) == page.total:
        return translator.format("status-all-well", count=page.total)
    return "\n".join(
        translator.format(words, count=page.counts[kind])
        for kind, words in _COUNTS.items()
        if page.counts.get(kind)
    )


def _troubles(report: StatusReport, translator: Translator, timezone: tzinfo) -> list[Span]:
    """Who leads, in a cluster, and what is wrong apart from the tasks."""
    spans: list[Span] = []
    if report.cluster is not None:
        line = cluster_line(report.cluster, translator, lambda at: clock(at, timezone, report.now))
        spans.append(Span("\n" + line))
    trouble = runner_trouble(report, translator)
    if trouble is not None:
        spans.append(Span("\n" + trouble, Style.BOLD))
    if report.alerts.pending:
        waiting = duration(translator, report.alerts.oldest_pending_s or 0.0)
        text = translator.format("status-alerts-pending", count=report.alerts.pending, duration=waiting)
        spans.append(Span("\n" + text))
    for chat in report.alerts.waiting:
        words = translator.format
        name = words("why-chat", chat=chat.destination) if chat.destination else words("why-main-chat")
        if chat.until is not None:
            line = words("status-chat-waits", chat=name, until=clock(chat.until, timezone, report.now))
        else:
            error = shorten(one_line(chat.error or "?"), ERROR_IN_LIST)
            since = clock(chat.since, timezone, report.now)
            line = words("status-chat-unreached", chat=name, since=since, error=error)
        spans.append(Span("\n" + line))
    return spans


def _lines(task: TaskStatus, now: float, translator: Translator) -> list[Span]:
    kind = health(task)
    parts = [shorten(one_line(task.name), NAME_UNITS)]
    if kind in (Health.STOPPED, Health.FAILING):
        parts.append(streak(task))
    parts += [*_doing(task, kind, now, translator), *_backlog(task, now, translator)]
    style = Style.PLAIN if kind is Health.WELL else Style.BOLD
    spans = [
        Span(f"\n{SIGNS[kind]} "),
        Span(parts[0], style),
        Span("".join(f" · {part}" for part in parts[1:])),
    ]
    if kind in (Health.STOPPED, Health.FAILING):
        error = error_span(task.last_error_type, one_line(task.last_error_text or ""), ERROR_IN_LIST)
        if error is not None:
            spans += [Span("\n"), error]
    return spans


def _doing(task: TaskStatus, kind: Health, now: float, translator: Translator) -> list[str]:
    text = translator.format
    if kind is Health.STOPPED and task.last_failed_at is not None:
        return [text("status-line-stopped", ago=ago(translator, now - task.last_failed_at))]
    if task.running_for_s is not None:
        return [text("status-line-running", duration=duration(translator, task.running_for_s))]
    if kind is Health.FAILING and task.next_run_at is not None:
        return [text("status-line-restart", ahead=ahead(translator, task.next_run_at - now))]
    if task.last_success_at is None:
        done = [text("status-line-never")]
    else:
        done = [text("status-line-success", ago=ago(translator, now - task.last_success_at))]
    if kind is Health.WELL and task.next_run_at is not None:
        done.append(text("status-line-next", ahead=rough(translator, task.next_run_at - now)))
    return done


def _backlog(task: TaskStatus, now: float, translator: Translator) -> list[str]:
    if not task.backlog_size:
        return []
    if task.backlog_oldest_at is None:
        return [translator.format("status-line-backlog-size", size=task.backlog_size)]
    waits = rough(translator, now - task.backlog_oldest_at)
    return [translator.format("status-line-backlog", size=task.backlog_size, duration=waits)]
