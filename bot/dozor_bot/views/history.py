"""Texts of `/history`, `/errors`, `/incidents` and `/audit`: a line for each event, newest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import assert_never

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.decisions import kind_text
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded, error_span
from dozor.control.commands.actor import Source
from dozor.control.queries.history import AuditLine, ErrorGroup, HistoryEvent, HistoryKind, IncidentLine
from dozor.control.queries.incident_words import incident_about
from dozor.language.times import ago, clock, duration
from dozor.language.translator import Translator
from dozor_bot.people import People
from dozor_bot.views.status import NAME_UNITS

PAGE = 12
NO_INCIDENT = "-"
"""In place of an incident's number: the bot asks for one."""
ERROR_UNITS = 100
GROUP_ERROR_UNITS = 400
RESULT_UNITS = 80
TRACEBACK_UNITS = 2500

SIGNS = {"critical": "🛑", "warning": "⚠️", "info": "ℹ️"}
RESULTS = {
    "done": "result-done",
    "already": "result-already",
    "denied": "result-denied",
    "ignored: too many": "result-ignored",
    "answered": "result-answered",
    "unknown_task": "result-unknown-task",
    "disabled": "result-disabled",
    "expired": "result-expired",
    "no_runner": "result-no-runner",
    "unknown_incident": "result-unknown-incident",
    "unknown_person": "result-unknown-person",
    "invalid": "result-invalid",
    "timeout": "result-timeout",
    "unconfirmed": "result-unconfirmed",
}
DONE = {
    "restart": "did-restart",
    "pause": "did-pause",
    "resume": "did-resume",
    "run-now": "did-run",
    "ack": "did-ack",
    "unack": "did-unack",
    "silence": "did-silence",
    "unsilence": "did-unsilence",
}


@dataclass(frozen=True, slots=True)
class ViewContext:
    """What all of these pages need."""

    translator: Translator
    timezone: tzinfo
    now: float
    people: People

    def clock(self, at: float) -> str:
        return clock(at, self.timezone, self.now)

    def text(self, key: str, **args: str | int | float) -> str:
        return self.translator.format(key, **args)

    def kind(self, kind: str) -> str:
        return one_line(kind) if (key := kind_text(kind)) is None else self.text(key)

    def did(self, action: str) -> str:
        return self.text(DONE[action]) if action in DONE else one_line(action)

    def result(self, result: str) -> str:
        """A result code in words, with the number of attempts."""
        code, _, rest = result.partition(", ")
        said = self.text(RESULTS[code]) if code in RESULTS else shorten(one_line(code), RESULT_UNITS)
        count = rest.removesuffix(" attempts")
        return f"{said}, {self.text('audit-attempts', count=int(count))}" if count.isdigit() else said


def history_message(
    words: ViewContext, task: str, events: Sequence[HistoryEvent], page: int, *, more: bool
) -> Message:
    """One page; `more`: there is an older one."""
    spans = [Span(words.text("history-title", task=_name(task)), Style.BOLD)]
    if not events:
        spans.append(Span("\n" + words.text("history-empty")))
    for event in events:
        spans.append(Span(f"\n{words.clock(event.at)} "))
        spans += _event(words, event)
    return Message(
        spans=bounded(spans, MESSAGE_UNITS),
        buttons=(*_turns("history", task, page, more=more), (_card(words, task),)),
    )


def _event(words: ViewContext, event: HistoryEvent) -> list[Span]:
    match event.kind:
        case HistoryKind.RUN:
            return _run(words, event)
        case HistoryKind.INCIDENT:
            number, kind = event.number or 0, words.kind(event.name)
            if event.ended_at is None:
                return [Span("🔴 " + words.text("history-incident-open", number=number, kind=kind))]
            lasted = duration(words.translator, event.ended_at - event.at)
            text = words.text("history-incident", number=number, kind=kind, duration=lasted)
            return [Span("🔴 " + text)]
        case HistoryKind.ACTION:
            name = words.people.called(event.text, words.translator)
            return [Span("👤 " + words.text("history-action", name=name, action=words.did(event.name)))]
        case _:
            assert_never(event.kind)


def _run(words: ViewContext, event: HistoryEvent) -> list[Span]:
    took = duration(words.translator, (event.seconds or 0.0) / event.runs)
    if event.name == "succeeded":
        if event.runs == 1:
            return [Span(f"✅ {took}")]
        longest = duration(words.translator, event.longest or 0.0)
        return [Span("✅ " + words.text("history-runs", count=event.runs, mean=took, longest=longest))]
    if event.name in ("failed", "timed_out"):
        error_type, _, text = event.text.partition(": ")
        error = error_span(error_type, one_line(text), ERROR_UNITS)
        return [Span(f"❌ {took} ")] + ([] if error is None else [error])
    return [Span("⏹ " + words.text("history-cut", duration=took))]


def errors_message(words: ViewContext, task: str, groups: Sequence[ErrorGroup]) -> Message:
    """The errors seen last, each with how often it came and its traceback."""
    spans = [Span(words.text("errors-title", task=_name(task)), Style.BOLD)]
    if not groups:
        spans.append(Span("\n" + words.text("errors-none")))
    tracebacks: list[Button] = []
    for number, group in enumerate(groups, 1):
        spans.append(Span(f"\n\n{number}. "))
        error = error_span(group.error_type, group.error_text, GROUP_ERROR_UNITS)
        spans += [] if error is None else [error]
        at, distance = words.clock(group.last_at), ago(words.translator, words.now - group.last_at)
        if group.times == 1:
            spans.append(Span("\n" + words.text("errors-once", at=at, ago=distance)))
        else:
            first = words.clock(group.first_at)
            text = words.text("errors-times", count=group.times, first=first, at=at, ago=distance)
            spans.append(Span("\n" + text))
        if group.traceback_of is not None:
            label = words.text("button-traceback-of", number=number)
            tracebacks.append(Button(label, encode(Origin.MENU, "trace", group.traceback_of)))
    rows = [tuple(tracebacks[start : start + 3]) for start in range(0, len(tracebacks), 3)]
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=(*rows, (_card(words, task),)))


def traceback_message(words: ViewContext, caption: Message, text: str) -> Message:
    """In place of a file where the chat takes none: the end of the traceback, which names the error."""
    tail = text.strip()[-TRACEBACK_UNITS:]
    spans = (
        *caption.spans,
        Span("\n"),
        Span(tail, Style.PRE),
        Span("\n" + words.text("traceback-no-files"), Style.ITALIC),
    )
    return Message(spans=spans)


def incidents_message(
    words: ViewContext,
    lines: Sequence[IncidentLine],
    page: int,
    *,
    open_count: int,
    total: int,
    turns: tuple[str, str] = ("incidents", "-"),
    may_act: bool = False,
) -> Message:
    """The open ones first; `open_count` and `total` of all pages. `turns`: of the buttons to other pages.

    `may_act`: with a button for each incident that nobody has acknowledged.
    """
    title = (
        words.text("incidents-title", count=open_count) if open_count else words.text("incidents-none-open")
    )
    spans = [Span(title, Style.BOLD)]
    for line in lines:
        spans.append(Span("\n\n"))
        spans += _incident(words, line)
    free = [line for line in lines if line.state == "open"] if may_act else []
    rows = [
        (Button(_ack_label(words, line), encode(Origin.MENU, "ack.list", str(line.id))),) for line in free
    ]
    buttons = (*rows, *_turns(*turns, page, more=(page + 1) * PAGE < total))
    if lines:
        buttons = (*buttons, (Button(words.text("button-why"), encode(Origin.MENU, "why", NO_INCIDENT)),))
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=buttons)


def _ack_label(words: ViewContext, line: IncidentLine) -> str:
    subject = words.text("incident-of-runner") if line.task is None else _name(line.task)
    return words.text("button-ack-of", id=line.id, subject=subject)


def _incident(words: ViewContext, line: IncidentLine) -> list[Span]:
    sign = SIGNS.get(line.severity, "•") if line.is_open else "✅"
    subject = words.text("incident-of-runner") if line.task is None else _name(line.task)
    number = words.text("number", id=str(line.id))
    head = f"{sign} {number} · {subject} · {words.kind(line.kind)}"
    spans = [Span(head, Style.BOLD if line.is_open else Style.PLAIN), Span("\n")]
    at = words.clock(line.opened_at)
    if line.resolved_at is not None:
        lasted = duration(words.translator, line.resolved_at - line.opened_at)
        spans.append(Span(words.text("incident-was", at=at, duration=lasted)))
        if line.resolved_by:
            spans.append(Span(" · " + words.people.called(line.resolved_by, words.translator)))
        return spans if line.task is not None else [*spans, Span("\n"), *_about(words, line)]
    lasts = duration(words.translator, words.now - line.opened_at)
    spans.append(Span(words.text("incident-lasts", at=at, duration=lasts)))
    if line.acknowledged_by:
        name = words.people.called(line.acknowledged_by, words.translator)
        spans.append(Span("\n" + words.text("incident-taken", name=name)))
    return [*spans, Span("\n"), *_about(words, line)]


def _about(words: ViewContext, line: IncidentLine) -> list[Span]:
    place_of = words.people.place_name
    about = incident_about(words.translator, line.kind, line.subject, line.summary, line.storm, place_of)
    error = error_span(None, about, ERROR_UNITS)
    return [] if error is None else [error if line.task is not None else Span(error.text)]


def audit_message(words: ViewContext, lines: Sequence[AuditLine], page: int, *, more: bool) -> Message:
    """Who did or tried what, from where, and what came of it."""
    spans = [Span(words.text("audit-title"), Style.BOLD)]
    if not lines:
        spans.append(Span("\n" + words.text("history-empty")))
    for line in lines:
        who = words.people.called(line.actor, words.translator)
        source, _, ident = line.actor.partition(":")
        if ident and ident not in who and source != Source.TELEGRAM:
            who += f" ({shorten(one_line(ident), NAME_UNITS)})"
        what = " ".join(part for part in (one_line(line.action), _name(line.target)) if part)
        place = ""
        if line.actor.startswith("telegram:") and line.place not in ("", ident):
            known = words.people.place_name(line.place)
            place = " · " + (known or words.text("audit-place", place=one_line(line.place)))
        result = words.result(line.result)
        spans += [
            Span(f"\n{words.clock(line.at)} · {who}{place}\n"),
            Span(what, Style.CODE),
            Span(f" → {result}"),
        ]
    return Message(spans=bounded(spans, MESSAGE_UNITS), buttons=_turns("audit", "-", page, more=more))


def _turns(action: str, target: str, page: int, *, more: bool) -> tuple[tuple[Button, ...], ...]:
    """To the newer and the older page."""
    row = []
    if page > 0:
        row.append(Button("◀️", encode(Origin.MENU, f"{action}.{page - 1}", target)))
    if page > 0 or more:
        row.append(Button("🔄", encode(Origin.MENU, f"{action}.{page}", target)))
    if more:
        row.append(Button("▶️", encode(Origin.MENU, f"{action}.{page + 1}", target)))
    return (tuple(row),) if row else ()


def _card(words: ViewContext, task: str) -> Button:
    return Button(words.text("button-card"), encode(Origin.MENU, "status", task))


def _name(task: str) -> str:
    return shorten(one_line(task), NAME_UNITS)
