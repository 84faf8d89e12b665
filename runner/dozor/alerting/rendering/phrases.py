"""Texts of messages that are not about a failure streak: troubles, storms, escalation, reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import assert_never

from dozor.alerting.model.message import Span, Style
from dozor.alerting.model.notification import AlertData
from dozor.alerting.model.safe_text import clean, one_line, shorten
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.language.times import clock, duration
from dozor.language.translator import Translator
from dozor.supervision.telemetry.observer import UNKNOWN_BLOCKER

EscalationText = tuple[tuple[Span, ...], list[Span]]
HeaderAndLines = tuple[str, list[Span]]
"""The header and the lines under it."""

NAME_UNITS = 80
LINE_UNITS = 200
REASON_UNITS = 700
LINES_SHOWN = 20
CALLED_SHOWN = 20
HOLDERS_SHOWN = 10
LIMITS = {
    "memory": "limit-memory",
    "asyncio_tasks": "limit-asyncio-tasks",
    "open_files": "limit-open-files",
    "descriptors": "limit-descriptors",
    "loop_lag": "limit-loop-lag",
    "database_connections": "limit-database-connections",
}
"""Keys of the texts for the subjects of incidents of the kind `limit`."""
_HERE = "\0"
# Placeholder of names in a translated text; a cleaned text never contains it.

NameOf = Callable[[str], "str | None"]


def no_names(by: str) -> str | None:
    """No name is known."""
    return None


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Language, timezone and the present time (seconds since the epoch) of a text.

    `name_of`: the name of a person ("telegram:111" as "Ann"), None where it is not known.
    """

    translator: Translator
    timezone: tzinfo
    now: float
    name_of: NameOf = no_names

    def __call__(self, key: str, **args: str | int | float) -> str:
        return self.translator.format(key, **args)

    def clock(self, at: float) -> str:
        return clock(at, self.timezone, self.now)

    def duration(self, seconds: float) -> str:
        return duration(self.translator, seconds)

    def who(self, by: str) -> str:
        """ "telegram:111" by name, else in words."""
        if (name := self.name_of(by)) is not None:
            return name
        source, _, ident = by.partition(":")
        ident = shorten(one_line(ident), NAME_UNITS)
        match source:
            case "telegram":
                return self("by-telegram", ident=ident)
            case "cli":
                return self("by-cli", ident=ident)
            case "web":
                return self("by-web", ident=ident)
            case _:
                return shorten(one_line(by), NAME_UNITS)


def trouble(say: Phrasebook, task: str, facts: AlertData, severity: Severity) -> HeaderAndLines:
    """A problem that is not a failed run."""
    lines = reason(facts) + [Span(shorten(one_line(frame), LINE_UNITS), Style.CODE) for frame in facts.chain]
    lines += _holders(say, facts)
    if facts.lines:
        names = ", ".join(shorten(one_line(name), NAME_UNITS) for name in facts.lines)
        more = 0 if facts.holders else (facts.count or 0) - len(facts.lines)
        if more > 0:
            names += " " + say("alert-and-more", count=more)
        lines.append(Span(say("alert-waiting", tasks=names)))
    return trouble_header(say, task, facts, severity), lines


def _holders(say: Phrasebook, facts: AlertData) -> list[Span]:
    """A line for each holder of a connection of an exhausted pool."""
    lines = []
    for task, run, since, over in facts.holders[:HOLDERS_SHOWN]:
        key = "alert-holder-over" if over else "alert-holder"
        name = shorten(one_line(task), NAME_UNITS)
        lines.append(Span(say(key, task=name, run=run, since=say.clock(since))))
    more = (facts.count or 0) - HOLDERS_SHOWN
    if facts.holders and more > 0:
        lines.append(Span(say("alert-and-more", count=more)))
    return lines


def trouble_header(say: Phrasebook, task: str, facts: AlertData, severity: Severity) -> str:
    """What is wrong, with the sign of its severity."""
    return mark(severity) + " " + _trouble(say, task, facts)


def _trouble(say: Phrasebook, task: str, facts: AlertData) -> str:
    subject = shorten(one_line(facts.subject or ""), NAME_UNITS)
    lasted = None if facts.lasted is None else say.duration(facts.lasted)
    kind = incident_kind(facts.about or facts.trouble)
    match kind:
        case IncidentKind.HUNG:
            return say("alert-hung", task=task)
        case IncidentKind.OVERDUE:
            if lasted is None:
                return say("alert-overdue-plain", task=task)
            return say("alert-overdue", task=task, duration=lasted)
        case IncidentKind.BLOCKED_LOOP:
            return _blocked_loop(say, subject, lasted)
        case IncidentKind.DEPENDENCY:
            return say("alert-dependency", subject=subject)
        case IncidentKind.LIMIT:
            return say("alert-limit", subject=limit_name(say, subject))
        case IncidentKind.POOL_EXHAUSTED:
            if lasted is None or facts.count is None:
                return say("alert-pool-exhausted-plain", subject=subject)
            return say("alert-pool-exhausted", subject=subject, size=facts.count, duration=lasted)
        case IncidentKind.NO_WORKER:
            if task:
                return say("alert-no-worker-task", task=task)
            if lasted is None or facts.count is None:
                return say("alert-no-worker-plain", subject=subject)
            return say("alert-no-worker", subject=subject, count=facts.count, duration=lasted)
        case IncidentKind.BACKLOG:
            if lasted is None or facts.count is None:
                return say("alert-backlog-plain", task=task or subject)
            return say("alert-backlog", task=task or subject, size=facts.count, duration=lasted)
        case IncidentKind.UNCLEAN_END:
            return say("alert-unclean-incident")
        case IncidentKind.BOT:
            return say("alert-bot-deaf") if subject == "commands" else say("alert-bot-defect")
        case IncidentKind.TELEGRAM:
            return say("alert-telegram", subject=subject)
        case IncidentKind.REPLICA:
            return say("alert-replica", subject=subject)
        case IncidentKind.REPLICA_CONFIG:
            return say("alert-replica-config", subject=subject)
        case IncidentKind.REPLICA_CLOCK:
            return say("alert-replica-clock", subject=subject)
        case IncidentKind.LATE_RENEWAL:
            return say("alert-late-renewal")
        case IncidentKind.CHECKER:
            text = shorten(one_line(facts.text or ""), LINE_UNITS)
            return say("alert-own", task=task or "Dozor", text=text or subject)
        case IncidentKind.REPEATED_ERRORS | IncidentKind.CRITICAL_STOP | IncidentKind.STORM | None:
            return say("alert-other", task=task or subject)
        case _:
            assert_never(kind)


def _blocked_loop(say: Phrasebook, subject: str, lasted: str | None) -> str:
    if subject == UNKNOWN_BLOCKER:
        if lasted is None:
            return say("alert-blocked-loop-unknown-plain")
        return say("alert-blocked-loop-unknown", duration=lasted)
    if lasted is None:
        return say("alert-blocked-loop-plain", subject=subject)
    return say("alert-blocked-loop", subject=subject, duration=lasted)


def limit_name(say: Callable[[str], str], subject: str) -> str:
    """What is limited, in words; of a newer version: as it is."""
    return say(LIMITS[subject]) if subject in LIMITS else subject


def reloaded(say: Phrasebook, facts: AlertData) -> HeaderAndLines:
    """`facts.lines`: "+ task", "~ task", "− task"; `facts.subject`: sections that need a new start."""
    lines = [Span(shorten(one_line(line), LINE_UNITS)) for line in facts.lines[:20]]
    more = (facts.count or 0) - len(lines)
    if more > 0:
        lines.append(Span(say("alert-and-more", count=more)))
    if facts.subject:
        lines.append(Span(say("alert-reload-kept-back", sections=facts.subject)))
    return say("alert-reloaded"), lines


def storm(say: Phrasebook, severity: Severity, facts: AlertData) -> HeaderAndLines:
    """The digest: `facts.lines` are its causes, worst first; `facts.count` all tasks, `failures` the open."""
    count = facts.count or 0
    return say("alert-storm", sign=mark(severity), count=count), _lines(facts)


def escalation(say: Phrasebook, what: str, facts: AlertData, severity: Severity) -> EscalationText:
    """People are called by name. `what`: what is still wrong, without a sign."""
    header = say("alert-escalation", sign=mark(severity), mention=_HERE, what=what)
    before, _, after = header.partition(_HERE)
    spans = (Span(before, Style.BOLD), *_called(say, facts), Span(after, Style.BOLD))
    if facts.next_call_at is None:
        return spans, []
    at, who = say.clock(facts.next_call_at), facts.next_called
    if who is None:
        return spans, [Span(say("alert-escalation-next-plain", level=facts.level or 1, at=at))]
    names = shorten(one_line(who), LINE_UNITS)
    return spans, [Span(say("alert-escalation-next", level=facts.level or 1, at=at, who=names))]


def _called(say: Phrasebook, facts: AlertData) -> list[Span]:
    people = facts.called or ((facts.mention or "Dozor", None),)
    spans: list[Span] = []
    for name, user_id in people[:CALLED_SHOWN]:
        if spans:
            spans.append(Span(", ", Style.BOLD))
        spans.append(Span(shorten(one_line(name), NAME_UNITS), Style.BOLD, user_id))
    if (more := len(people) - CALLED_SHOWN) > 0:
        spans.append(Span(" " + say("alert-and-more", count=more), Style.BOLD))
    return spans


def silence_over(say: Phrasebook, facts: AlertData) -> HeaderAndLines:
    named = tuple(_kind_or_name(say, line) for line in facts.lines)
    why = shorten(clean(facts.text or ""), REASON_UNITS)
    given = [Span(say("alert-silence-reason", text=why))] if why else []
    lines = given + _lines(replace(facts, lines=named))
    if facts.by:
        lines.insert(0, Span(say("alert-silence-lifted", by=say.who(facts.by))))
    return say("alert-silence-over", count=facts.count or 0), lines


def _kind_or_name(say: Phrasebook, line: str) -> str:
    """ "kind:dependency" in words; a task's name as it is."""
    kind = incident_kind(line.removeprefix("kind:")) if line.startswith("kind:") else None
    return line if kind is None else say(KINDS[kind].text)


def morning(say: Phrasebook, facts: AlertData) -> HeaderAndLines:
    return say("alert-morning", count=facts.count or 0), _lines(facts)


def all_clear(say: Phrasebook, severity: Severity, facts: AlertData) -> HeaderAndLines:
    if severity is Severity.INFO:
        return say("alert-all-clear", tasks=facts.count or 0), _lines(facts)
    return say("alert-not-clear", count=facts.count or 0), _lines(facts)


def summary(say: Phrasebook, facts: AlertData) -> HeaderAndLines:
    return say("alert-summary", count=facts.count or 0), _lines(facts)


def status_lines(say: Phrasebook, facts: AlertData) -> list[Span]:
    """Under a live message: who has acknowledged it, whether it is muted, how often it was opened."""
    lines: list[Span] = []
    if facts.retold:
        lines.append(Span(say("alert-retold"), Style.ITALIC))
    if facts.occurrences > 1:
        lines.append(Span(say("living-occurrences", count=facts.occurrences)))
    if facts.calm_since is not None:
        lines.append(Span(say("living-calm", since=say.clock(facts.calm_since)), Style.ITALIC))
    if facts.acknowledged_by and facts.acknowledged_until is not None:
        until = say.clock(facts.acknowledged_until)
        lines.append(Span(say("living-taken", by=say.who(facts.acknowledged_by), until=until), Style.ITALIC))
    if facts.silenced_until is not None:
        lines.append(Span(say("living-silenced", until=say.clock(facts.silenced_until)), Style.ITALIC))
    elif facts.silenced:
        lines.append(Span(say("living-silenced-open"), Style.ITALIC))
    return lines


def reason(facts: AlertData) -> list[Span]:
    """The text of a person or a checker, or the cause of a trouble."""
    text = shorten(clean(facts.text or ""), REASON_UNITS)
    return [Span(text, Style.CODE)] if text else []


def _lines(facts: AlertData) -> list[Span]:
    return [Span(shorten(one_line(line), LINE_UNITS)) for line in facts.lines[:LINES_SHOWN]]


def incident_kind(name: str | None) -> IncidentKind | None:
    """None: none, or of a newer version."""
    return IncidentKind(name) if name in tuple(IncidentKind) else None


def mark(severity: Severity, *, over: bool = False) -> str:
    """The sign of a severity."""
    if over:
        return "✅"
    match severity:
        case Severity.CRITICAL:
            return "🔴"
        case Severity.WARNING:
            return "⚠️"
        case Severity.INFO:
            return "\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16}"
        case _:
            assert_never(severity)
