"""Why a message about an incident was sent or not, in words: one line for each decision. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from dozor.alerting.model.decisions import Because, NotifyDecision, NotifyReason
from dozor.alerting.model.notification import NotificationKind
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.phrases import NAME_UNITS, Phrasebook
from dozor.config.values.incident_kinds import KINDS, IncidentKind

TEXT_UNITS = 200
"""Characters shown of the answer of the other side."""

_MESSAGES: dict[str, str] = {
    NotificationKind.REPEATED_ERRORS: "kind-repeated-errors",
    NotificationKind.CRITICAL_STOP: "kind-critical-stop",
    NotificationKind.RECOVERED: "why-kind-recovered",
    NotificationKind.FLAPPING: "why-kind-flapping",
    NotificationKind.TROUBLE: "why-kind-trouble",
    NotificationKind.STORM: "kind-storm",
    NotificationKind.REMINDER: "why-kind-reminder",
    NotificationKind.ESCALATION: "why-kind-escalation",
    NotificationKind.CHECKER: "kind-checker",
}
"""Texts for the kinds of messages that belong to an incident."""

_BECAUSE: dict[Because, str] = {
    Because.THRESHOLD: "why-because-threshold",
    Because.OPEN: "why-because-open",
    Because.FLAPPING: "why-because-flapping",
    Because.CALMING: "why-because-calming",
    Because.UNHEARD: "why-because-unheard",
    Because.STOPPED: "why-because-stopped",
    Because.SAME_END: "why-because-same-end",
    Because.UNCONFIGURED: "why-because-unconfigured",
    Because.LAPSED: "why-because-lapsed",
    Because.OVER: "why-because-over",
    Because.BROKEN_AGAIN: "why-because-broken-again",
    Because.TAKEN: "why-because-taken",
    Because.SAID: "why-because-said",
    Because.DIRECT: "why-because-direct",
}

PlaceOf = Callable[[str], "str | None"]
"""What a destination is called; None: nobody has named it."""


def nowhere(destination: str) -> str | None:
    """No destination has a name."""
    return None


def why_title(say: Phrasebook, number: int, task: str | None, kind: str) -> str:
    """ "Incident 12 · presale_checker · stopped"."""
    subject = say("incident-of-runner") if task is None else shorten(one_line(task), NAME_UNITS)
    return say("why-title", id=str(number), task=subject, kind=incident_kind(say, kind))


def kind_text(kind: str) -> str | None:
    """The key of a kind's name; None for a kind of a newer version."""
    try:
        return KINDS[IncidentKind(kind)].text
    except ValueError:
        return None


def incident_kind(say: Phrasebook, kind: str) -> str:
    """In words; as it is for a kind of a newer version."""
    return one_line(kind) if (key := kind_text(kind)) is None else say(key)


def why_lines(
    say: Phrasebook, decisions: Iterable[NotifyDecision], place_of: PlaceOf = nowhere
) -> tuple[str, ...]:
    """A line for each decision, "12:04:03 stopped: muted by silence 7 (all tasks, by ann, until 14:00)"."""
    lines = []
    for decision in decisions:
        if decision.skipped:
            lines.append(say("why-skipped", count=decision.skipped))
        lines.append(f"{say.clock(decision.at)} {decision_words(say, decision, place_of)}")
    return tuple(lines)


def decision_words(say: Phrasebook, decision: NotifyDecision, place_of: PlaceOf = nowhere) -> str:
    """Without the time."""
    text = _reason(say, decision, place_of)
    if decision.because in _BECAUSE:
        text = say("why-for", what=text, why=say(_BECAUSE[decision.because]))
    elif decision.because is Because.TOLD_TO_WAIT:
        text = say("why-for", what=text, why=say("why-because-wait", seconds=decision.text or "?"))
    elif decision.because is Because.MOVED:
        text = say("why-for", what=text, why=say("why-because-moved", chat=decision.text or "?"))
    elif decision.text:
        text = say("why-for", what=text, why=shorten(one_line(decision.text), TEXT_UNITS))
    if decision.kind is not None:
        key = _MESSAGES.get(decision.kind)
        kind = say(key) if key is not None else one_line(decision.kind)
        text = say("why-line", kind=kind, what=text)
    if decision.times > 1:
        text += " " + say("why-times", count=str(decision.times))
        if decision.last_at is not None:
            text += " " + say("why-last", at=say.clock(decision.last_at))
    return text


def _reason(say: Phrasebook, decision: NotifyDecision, place_of: PlaceOf) -> str:
    where = ", ".join(_place(say, key, place_of) for key in decision.to)
    ref = "?" if decision.ref is None else str(decision.ref)
    match decision.reason:
        case NotifyReason.QUEUED:
            return say("why-queued", where=where)
        case NotifyReason.QUIET_HOURS:
            return say("why-quiet-hours", where=where)
        case NotifyReason.MUTED:
            return say("why-muted", silence=ref) + _details(say, decision, scope=True)
        case NotifyReason.INHIBITED:
            text = say("why-inhibited", incident=ref)
            what = shorten(one_line(decision.what or ""), NAME_UNITS)
            return say("why-for", what=text, why=say("why-down", what=what)) if what else text
        case NotifyReason.GROUPED:
            return say("why-grouped", storm=ref)
        case NotifyReason.COUNTED:
            return say("why-counted")
        case NotifyReason.ACKNOWLEDGED:
            return say("why-acknowledged") + _details(say, decision, scope=False)
        case NotifyReason.PAUSED:
            return say("why-paused")
        case NotifyReason.SENT:
            return say("why-sent", where=where)
        case NotifyReason.EDITED:
            return say("why-edited", where=where)
        case NotifyReason.SUPERSEDED:
            return say("why-superseded", where=where)
        case NotifyReason.EXPIRED:
            return say("why-expired", where=where)
        case NotifyReason.PUT_OFF:
            return say("why-put-off", where=where)
        case NotifyReason.UNKNOWN:
            return say("why-unknown-outcome", where=where)
        case NotifyReason.REFUSED:
            return say("why-refused", where=where)
        case NotifyReason.GIVEN_UP:
            return say("why-given-up", where=where)
        case NotifyReason.FALLBACK:
            return say("why-fallback", where=where)
        case NotifyReason.WAITING:
            return say("why-waiting", where=where)
        case NotifyReason.OTHER:
            return say("why-other")
        case _:
            assert_never(decision.reason)


def _details(say: Phrasebook, decision: NotifyDecision, *, scope: bool) -> str:
    """ " (all tasks, by ann, until 14:00)"; of what is not known nothing."""
    parts = []
    if scope and decision.what:
        parts.append(_scope(say, decision.what))
    if decision.by:
        parts.append(say("why-by", name=say.who(decision.by)))
    if decision.ends_at is not None:
        parts.append(say("why-until", at=say.clock(decision.ends_at)))
    elif scope and decision.what:
        parts.append(say("why-until-over"))
    return f" ({', '.join(parts)})" if parts else ""


def _scope(say: Phrasebook, target: str) -> str:
    """Of a silence, as `AlertCommand` names it."""
    if target == "all":
        return say("scope-all")
    if target.startswith("kind:"):
        return say("scope-kind", kind=incident_kind(say, target.removeprefix("kind:")))
    if target.startswith("#"):
        return say("scope-incident", id=shorten(one_line(target[1:]), NAME_UNITS))
    return shorten(one_line(target), NAME_UNITS)


def _place(say: Phrasebook, destination: str, place_of: PlaceOf) -> str:
    if (name := place_of(destination)) is not None:
        return shorten(one_line(name), NAME_UNITS)
    return say("why-chat", chat=one_line(destination)) if destination else say("why-main-chat")
