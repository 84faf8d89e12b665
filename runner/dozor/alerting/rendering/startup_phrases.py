"""Texts of a start: how long there was no runner, why, and what the start has found."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.alerting.incidents.startup import LONG_GAP, RESTART_LOOP
from dozor.alerting.model.message import Button, Span
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.phrases import NAME_UNITS, HeaderAndLines, Phrasebook
from dozor.config.values.incident_kinds import IncidentKind

BUTTONS_SHOWN = 8
NAMES_SHOWN = 5


def is_about_a_start(note: Notification) -> bool:
    """A clean one's own message, or any about the incident of an unclean end except an escalation."""
    if note.kind is NotificationKind.RUNNER_STARTED:
        return True
    return note.facts.trouble == IncidentKind.UNCLEAN_END and note.kind is not NotificationKind.ESCALATION


def report(say: Phrasebook, note: Notification) -> HeaderAndLines:
    """The header and the lines under it."""
    facts = note.facts
    lines = [*_end(say, facts), *_found(say, facts)]
    match note.kind:
        case NotificationKind.RECOVERED:
            return say("start-steady"), lines
        case NotificationKind.PAST:
            return say("start-steady"), [*lines, Span(say("alert-past-why"))]
        case NotificationKind.FLAPPING:
            return say("start-flapping", count=facts.occurrences), [*lines, Span(say("alert-flapping-why"))]
        case _:
            return _header(say, facts), lines


def restarts(say: Phrasebook, stopped: Sequence[str]) -> tuple[tuple[Button, ...], ...]:
    """A button for each stopped task."""
    return tuple((_restart(say, task),) for task in stopped[:BUTTONS_SHOWN])


def _restart(say: Phrasebook, task: str) -> Button:
    label = say("button-restart-task", task=shorten(one_line(task), NAME_UNITS))
    return Button(label, encode(Origin.ALERT, "restart", task))


def _header(say: Phrasebook, facts: AlertData) -> str:
    if facts.unclean_end:
        if (facts.failures or 0) > 1 and facts.failing_since is not None:
            return say("start-again", count=facts.failures or 0, since=say.clock(facts.failing_since))
        if facts.off_for is None:
            return say("start-unclean-plain")
        return say("start-unclean", duration=say.duration(facts.off_for))
    if facts.off_for is None:
        return say("start-plain") if facts.count is None else say("start-first", count=facts.count)
    if facts.starts >= RESTART_LOOP:
        return say("start-crowd", count=facts.starts)
    broken = facts.stopped_tasks or facts.lost_tasks or facts.off_for >= LONG_GAP
    return say("start-back", mark="⚠️" if broken else "🟢", duration=say.duration(facts.off_for))


def _end(say: Phrasebook, facts: AlertData) -> list[Span]:
    """How and when the previous runner ended."""
    if facts.unclean_end:
        lines = [Span(say("start-cut-off"))]
        if facts.off_since is not None:
            lines[0] = Span(say("start-cut-off-at", at=say.clock(facts.off_since)))
        if (facts.failures or 0) > 1 and facts.off_for is not None:
            lines.append(Span(say("start-last-gap", duration=say.duration(facts.off_for))))
        return [*lines, Span(say("start-kept"))]
    if facts.off_since is None:
        return []
    lines = [Span(say("start-stopped-at", at=say.clock(facts.off_since)))]
    if facts.starts >= RESTART_LOOP:
        lines.append(Span(say("start-crowd-why")))
    return lines


def _found(say: Phrasebook, facts: AlertData) -> list[Span]:
    lines: list[Span] = []
    if facts.lost_tasks:
        lines.append(Span(say("start-lost", tasks=_names(say, facts.lost_tasks))))
    if facts.suspects:
        seconds = say.duration(facts.suspects_hold)
        lines.append(Span(say("start-suspects", tasks=_names(say, facts.suspects), duration=seconds)))
    if facts.missed_runs:
        key = "start-missed-more" if facts.missed_more else "start-missed"
        lines.append(Span(say(key, runs=facts.missed_runs, tasks=facts.missed_tasks)))
    stopped = facts.stopped_tasks
    if stopped:
        lines.append(Span(say("alert-stopped-tasks", count=len(stopped))))
        lines += [Span("🛑 " + shorten(one_line(task), NAME_UNITS)) for task in stopped[:BUTTONS_SHOWN]]
    if len(stopped) > BUTTONS_SHOWN:
        lines.append(Span(say("alert-and-more", count=len(stopped) - BUTTONS_SHOWN)))
    if facts.paused_tasks:
        lines.append(Span(say("start-paused", tasks=_names(say, facts.paused_tasks))))
    if facts.open_before:
        lines.append(Span(say("start-open", count=facts.open_before)))
    if facts.owed_before:
        lines.append(Span(say("start-owed", count=facts.owed_before)))
    return lines


def _names(say: Phrasebook, tasks: Sequence[str]) -> str:
    names = ", ".join(shorten(one_line(task), NAME_UNITS) for task in tasks[:NAMES_SHOWN])
    more = len(tasks) - NAMES_SHOWN
    return f"{names} {say('alert-and-more', count=more)}" if more > 0 else names
