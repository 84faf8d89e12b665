"""The text of `/status name`: one task in full. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.phrases import NameOf, no_names
from dozor.alerting.rendering.render import MESSAGE_UNITS, WHERE_UNITS, bounded, error_span, who
from dozor.config.values.durations import parse_duration
from dozor.control.commands.commands import CommandName
from dozor.control.queries.status import StatusReport, TaskStatus
from dozor.control.queries.status_page import health
from dozor.control.task_states import Health
from dozor.language.times import ago, ahead, clock, duration
from dozor.language.translator import Translator
from dozor.storage.tables.runs import RunRecord
from dozor.supervision.core.state import State
from dozor_bot.views.bars import bar, sparkline
from dozor_bot.views.status import SIGNS, View, runner_trouble, state_words, streak

DESCRIPTION_UNITS = 300

_BUTTONS = {
    CommandName.RESTART: "button-restart",
    CommandName.PAUSE: "button-pause",
    CommandName.RESUME: "button-resume",
    CommandName.RUN_NOW: "button-run",
}


def card_message(
    report: StatusReport,
    task: TaskStatus,
    recent: Sequence[RunRecord],
    translator: Translator,
    timezone: tzinfo,
    *,
    may_act: bool,
    name_of: NameOf = no_names,
) -> Message:
    """`recent`: the last runs, the newest first. `may_act`: with the actions that fit this state."""
    card = _Card(report.now, task, translator, timezone, name_of)
    lines = [Span(line) for line in card.lines_before_error()]
    lines += card.error()
    lines += [Span(line) for line in card.lines_after_error()]
    if recent:
        lines.append(Span(f"{translator.format('card-recent')} {sparkline(recent)}"))
    trouble = runner_trouble(report, translator)
    if trouble is not None:
        lines.insert(0, Span(trouble, Style.BOLD))
    spans = [Span(card.title(), Style.BOLD)]
    for line in lines:
        spans += [Span("\n"), line]
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=_buttons(task, translator, may_act=may_act))


def _buttons(task: TaskStatus, translator: Translator, *, may_act: bool) -> tuple[tuple[Button, ...], ...]:
    text = translator.format

    def to(label: str, action: str) -> Button:
        return Button(label, encode(Origin.MENU, action, task.name))

    acting = tuple(to(text(_BUTTONS[action]), action.value) for action in _sensible(task)) if may_act else ()
    going = (to(text("button-refresh"), "status"), Button(text("button-all-tasks"), View().data))
    past = (
        to(text("button-errors"), "errors"),
        to(text("button-history"), "history"),
        to(text("button-chart"), "chart"),
    )
    return (acting, past, going) if acting else (past, going)


def _sensible(task: TaskStatus) -> tuple[CommandName, ...]:
    match task.state:
        case State.STOPPED:
            return (CommandName.RESTART,)
        case State.PAUSED:
            return (CommandName.RESUME,)
        case State.BACKOFF:
            return (CommandName.RESTART, CommandName.PAUSE)
        case State.WAITING:
            return (CommandName.RUN_NOW, CommandName.PAUSE)
        case State.RUNNING | State.HELD:
            return (CommandName.PAUSE,)


class _Card:
    def __init__(
        self, now: float, task: TaskStatus, translator: Translator, timezone: tzinfo, name_of: NameOf
    ) -> None:
        self._name_of = name_of
        self._now, self._task = now, task
        self._translator, self._timezone = translator, timezone

    def title(self) -> str:
        task = self._task
        return f"{SIGNS[health(task)]} {one_line(task.name)}: {state_words(self._translator, task.state)}"

    def lines_before_error(self) -> list[str]:
        text, task = self._translator.format, self._task
        lines = []
        if task.description:
            lines.append(shorten(one_line(task.description), DESCRIPTION_UNITS))
        if task.state is State.STOPPED and task.next_run_at is None:
            lines.append(text("card-person"))
        if task.next_run_at is not None and task.running_for_s is None:
            at, distance = (
                self._clock(task.next_run_at),
                ahead(self._translator, task.next_run_at - self._now),
            )
            failing = health(task) in (Health.FAILING, Health.STOPPED)
            lines.append(
                text("card-restart", at=at, ahead=distance)
                if failing
                else text("card-next", at=at, ahead=distance)
            )
        if task.running_for_s is not None:
            lines.append(text("card-running", duration=duration(self._translator, task.running_for_s)))
        if task.progress is not None and task.progress.total > 0 and task.running_for_s is not None:
            done, total = task.progress.done, task.progress.total
            percent = int(min(1.0, max(0.0, done / total)) * 100)
            lines.append(bar(done, total) + f" {percent}%")
            lines.append(text("card-progress", done=_number(done), total=_number(total)))
        if task.consecutive_failures:
            since = task.failing_since if task.failing_since is not None else self._now
            lines.append(
                text("card-failing", streak=streak(task), since=self._clock(since), ago=self._ago(since))
            )
        return lines

    def error(self) -> list[Span]:
        """The last error, also one that is over: with its time."""
        task = self._task
        error = error_span(task.last_error_type, task.last_error_text)
        if error is None:
            return []
        lines = []
        if task.last_failed_at is not None:
            at, distance = self._clock(task.last_failed_at), self._ago(task.last_failed_at)
            lines.append(Span(self._translator.format("card-last-error", at=at, ago=distance)))
        lines.append(error)
        if task.last_error_where:
            where = shorten(one_line(task.last_error_where), WHERE_UNITS)
            lines.append(Span(self._translator.format("alert-where", where=where)))
        return lines

    def lines_after_error(self) -> list[str]:
        text, task = self._translator.format, self._task
        lines = []
        if task.last_success_at is None:
            lines.append(text("card-no-success"))
        else:
            at, distance = self._clock(task.last_success_at), self._ago(task.last_success_at)
            lines.append(text("card-last-success", at=at, ago=distance))
        if task.backlog_size is not None:
            lines.append(self._backlog(task.backlog_size))
        lines.append(text("card-runs", runs=task.runs_total, failures=task.failures_total))
        lines += self._schedule()
        if task.state_by:
            lines.append(text("card-by", by=who(self._translator, task.state_by, self._name_of)))
        return lines

    def _backlog(self, size: int) -> str:
        text, oldest = self._translator.format, self._task.backlog_oldest_at
        if size == 0:
            return text("card-backlog-empty")
        if oldest is None:
            return text("card-backlog-size", size=size)
        return text("card-backlog", size=size, duration=duration(self._translator, self._now - oldest))

    def _schedule(self) -> list[str]:
        """The schedule is stored for people, in English: "every 60s", "cron */5 * * * *", "continuous"."""
        kind, _, rest = self._task.schedule.partition(" ")
        match kind:
            case "every":
                return [self._translator.format("card-schedule-every", interval=self._interval(rest))]
            case "cron":
                return [self._translator.format("card-schedule-cron", expression=rest)]
            case "continuous":
                return [self._translator.format("card-schedule-continuous")]
            case _:
                return [self._task.schedule] if self._task.schedule else []

    def _interval(self, written: str) -> str:
        try:
            return duration(self._translator, parse_duration(written))
        except ValueError:
            return one_line(written)

    def _clock(self, at: float) -> str:
        return clock(at, self._timezone, self._now)

    def _ago(self, at: float) -> str:
        return ago(self._translator, self._now - at)


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
