"""`/status` in words: the worst first, few words, no tables that break on a phone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from runner.alerting.message import Message, Span, Style
from runner.alerting.render import MESSAGE_UNITS, bounded, error_span
from runner.alerting.text import one_line, units
from runner.control.status import StatusReport, TaskStatus
from runner.language.times import ago, ahead, duration
from runner.language.translator import Translator
from runner.supervision.state import State

TASKS_SHOWN = 30
ERROR_IN_LIST = 100
ROOM_FOR_THE_END = 200
"""UTF-16 units kept for "and N more"."""


class Health(IntEnum):
    """The worst first."""

    STOPPED = 0
    FAILING = 1
    HELD = 2
    PAUSED = 3
    WELL = 4


SIGNS = {Health.STOPPED: "🛑", Health.FAILING: "⚠️", Health.HELD: "⏳", Health.PAUSED: "⏸", Health.WELL: "✅"}

_COUNTS = {
    Health.STOPPED: "status-count-stopped",
    Health.FAILING: "status-count-failing",
    Health.HELD: "status-count-held",
    Health.PAUSED: "status-count-paused",
    Health.WELL: "status-count-well",
}
_STATES = {
    State.WAITING: "state-waiting",
    State.RUNNING: "state-running",
    State.BACKOFF: "state-backoff",
    State.STOPPED: "state-stopped",
    State.PAUSED: "state-paused",
    State.HELD: "state-held",
}


def health(task: TaskStatus) -> Health:
    match task.state:
        case State.STOPPED:
            return Health.STOPPED
        case State.PAUSED:
            return Health.PAUSED
        case State.HELD:
            return Health.HELD
        case _:
            failing = task.consecutive_failures > 0 or task.state is State.BACKOFF
            return Health.FAILING if failing else Health.WELL


def worst_first(tasks: Iterable[TaskStatus]) -> list[TaskStatus]:
    """By health; the longest failing first; else in the order of the configuration."""
    return sorted(tasks, key=lambda task: (health(task), task.failing_since or float("inf")))


def state_words(translator: Translator, state: State) -> str:
    return translator.format(_STATES[state])


def streak(task: TaskStatus) -> str:
    """ "3/5", "3" without a limit."""
    limit = task.max_consecutive_failures
    return f"{task.consecutive_failures}/{limit}" if limit is not None else str(task.consecutive_failures)


def status_message(report: StatusReport, translator: Translator) -> Message:
    """All tasks, as many as fit."""
    spans = [Span(_summary(report, translator), Style.BOLD), *_troubles(report, translator)]
    left = MESSAGE_UNITS - sum(units(span.text) for span in spans) - ROOM_FOR_THE_END
    tasks = worst_first(report.tasks)
    shown = 0
    for task in tasks[:TASKS_SHOWN]:
        lines = _lines(task, report.now, translator)
        left -= sum(units(span.text) for span in lines)
        if left < 0:
            break
        spans += lines
        shown += 1
    if shown < len(tasks):
        spans.append(Span("\n" + translator.format("status-more", count=len(tasks) - shown)))
    return Message(spans=bounded(spans, MESSAGE_UNITS))


def runner_trouble(report: StatusReport, translator: Translator) -> str | None:
    """None: a runner is at work."""
    if report.runner is None:
        return translator.format("status-no-runner")
    if not report.runner.alive:
        silent = max(0.0, report.now - report.runner.seen_at)
        return translator.format("status-runner-gone", ago=ago(translator, silent))
    return None


def _summary(report: StatusReport, translator: Translator) -> str:
    if not report.tasks:
        return translator.format("status-no-tasks")
    counts = dict.fromkeys(Health, 0)
    for task in report.tasks:
        counts[health(task)] += 1
    if counts[Health.WELL] == len(report.tasks):
        return translator.format("status-all-well", count=len(report.tasks))
    return "\n".join(
        translator.format(_COUNTS[kind], count=number) for kind, number in counts.items() if number
    )


def _troubles(report: StatusReport, translator: Translator) -> list[Span]:
    """What is wrong apart from the tasks."""
    spans: list[Span] = []
    trouble = runner_trouble(report, translator)
    if trouble is not None:
        spans.append(Span("\n" + trouble, Style.BOLD))
    if report.alerts.pending:
        waiting = duration(translator, report.alerts.oldest_pending_s or 0.0)
        text = translator.format("status-alerts-pending", count=report.alerts.pending, duration=waiting)
        spans.append(Span("\n" + text))
    return [*spans, Span("\n")]


def _lines(task: TaskStatus, now: float, translator: Translator) -> list[Span]:
    kind = health(task)
    parts = [one_line(task.name)]
    if kind in (Health.STOPPED, Health.FAILING):
        parts.append(streak(task))
    parts += _doing(task, kind, now, translator)
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
        return [text("status-line-never")]
    return [text("status-line-success", ago=ago(translator, now - task.last_success_at))]
