"""Texts of incidents, silences and on-call. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.policy.oncall import OnCall
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.control.commands.alert_handler import LONGEST_ACK
from dozor.control.commands.commands import AlertCommand, CommandReason
from dozor.control.queries.history import IncidentLine
from dozor.language.times import ahead, duration
from dozor.storage.tables.silences import OverrideRow, SilenceRow
from dozor_bot.people import without_mention
from dozor_bot.views.history import SIGNS, ViewContext
from dozor_bot.views.status import NAME_UNITS

CHOICES = 20
SILENCE_FOR = {"1h": 3600.0, "4h": 14_400.0, "1d": 86_400.0}
SAME_END = 5.0
"""Seconds by which the ends of two silences may differ and be taken for one."""
_REFUSALS = {
    CommandReason.UNKNOWN_INCIDENT: "refused-incident",
    CommandReason.UNKNOWN_TASK: "refused-unknown",
    CommandReason.UNKNOWN_PERSON: "refused-person",
    CommandReason.DISABLED: "refused-disabled",
    CommandReason.EXPIRED: "refused-expired",
    CommandReason.NO_RUNNER: "refused-no-runner",
    CommandReason.TIMEOUT: "refused-alert-timeout",
}
_INVALID = {AlertCommand.ONCALL: "refused-no-rotation"}
Rows = tuple[tuple[Button, ...], ...]


def target_words(words: ViewContext, target: str) -> str:
    """ "all", "#12", "kind:overdue" or a task's name, as people read it."""
    if target == "all":
        return words.text("scope-all")
    if target.startswith("kind:"):
        return words.text("scope-kind", kind=words.kind(target.removeprefix("kind:")))
    if target.startswith("#"):
        return words.text("scope-incident", id=shorten(one_line(target[1:]), NAME_UNITS))
    return shorten(one_line(target), NAME_UNITS)


def alert_result(
    words: ViewContext, name: AlertCommand, target: str, seconds: float | None, reason: CommandReason
) -> str:
    """The result of a command about alerts, in words."""
    what, incident = target_words(words, target), target.removeprefix("#")
    if reason in _REFUSALS:
        if reason is CommandReason.UNKNOWN_INCIDENT:
            return words.text("refused-incident", id=shorten(one_line(incident), NAME_UNITS))
        return words.text(_REFUSALS[reason], task=what)
    if reason is CommandReason.INVALID:
        return words.text(_INVALID.get(name, "refused-invalid"))
    done = reason is CommandReason.DONE
    match name:
        case AlertCommand.ACK:
            if done and seconds is not None:
                until = words.clock(words.now + min(seconds, LONGEST_ACK))
                return words.text("ack-done-until", id=incident, until=until)
            return words.text("ack-done" if done else "ack-already", id=incident)
        case AlertCommand.UNACK:
            return words.text("unack-done" if done else "unack-already", id=incident)
        case AlertCommand.SILENCE:
            if seconds is None:
                return words.text("silence-done-open", what=what)
            until = words.clock(words.now + seconds)
            return words.text(
                "silence-done", what=what, duration=duration(words.translator, seconds), until=until
            )
        case AlertCommand.UNSILENCE:
            return words.text("unsilence-done" if done else "unsilence-already", what=what)
        case AlertCommand.ONCALL:
            if done and seconds is not None:
                until = words.clock(words.now + seconds)
                return words.text("oncall-done-until", person=what, until=until)
            return words.text("oncall-done" if done else "oncall-already", person=what)


def silence_beside(
    words: ViewContext, rows: Iterable[SilenceRow], target: str, task: str | None, until: float
) -> str | None:
    """The line about the silence that covers `target` for longer than to `until`; None: there is none.

    `task`: of the incident that `target` names. `until`: seconds since the epoch; infinity: to its end.
    """
    wider = {target, "all"} if task is None else {target, task, "all"}
    longer = [row for row in rows if silence_target(row) in wider and _end(row) > until + SAME_END]
    if not longer:
        return None
    longest = max(longer, key=_end)
    what = target_words(words, silence_target(longest))
    if longest.ends_at is None:
        return words.text("silence-also-open", what=what)
    return words.text("silence-also", what=what, until=words.clock(longest.ends_at))


def _end(row: SilenceRow) -> float:
    return float("inf") if row.ends_at is None else row.ends_at


def undo_of(words: ViewContext, name: AlertCommand, target: str) -> Rows:
    """The way back."""
    match name:
        case AlertCommand.ACK:
            return ((Button(words.text("button-unack"), encode(Origin.MENU, "unack", target)),),)
        case AlertCommand.UNACK:
            return ((Button(words.text("button-ack"), encode(Origin.MENU, "ack", target)),),)
        case AlertCommand.SILENCE if target.startswith("#"):
            back = encode(Origin.MENU, "unsilence-incident", target.removeprefix("#"))
            return ((Button(words.text("button-unsilence"), back),),)
        case AlertCommand.SILENCE:
            return ((Button(words.text("button-unsilence"), encode(Origin.MENU, "unsilence", target)),),)
        case AlertCommand.UNSILENCE | AlertCommand.ONCALL:
            return ()


def ack_choice(words: ViewContext, lines: Sequence[IncidentLine]) -> Message:
    """Asks which of the open incidents that nobody has acknowledged is meant."""
    free = [line for line in lines if line.state == "open"]
    if not free:
        return Message(spans=(Span(words.text("ack-nothing")),))
    rows = []
    for line in free[:CHOICES]:
        subject = line.task or words.text("incident-of-runner")
        number = words.text("number", id=str(line.id))
        label = f"{SIGNS.get(line.severity, '•')} {number} · {subject} · {words.kind(line.kind)}"
        rows.append((Button(label, encode(Origin.MENU, "ack", str(line.id))),))
    return Message(spans=(Span(words.text("choose-ack")),), buttons=tuple(rows))


def silence_choice(words: ViewContext, names: Sequence[str]) -> Message:
    """Asks what to silence."""
    rows = [(Button(words.text("button-silence-all"), encode(Origin.MENU, "silence", "all")),)]
    rows += [(Button(name, encode(Origin.MENU, "silence", name)),) for name in names[:CHOICES]]
    text = words.text("choose-silence")
    if len(names) > CHOICES:
        text += "\n" + words.text("choose-more", count=CHOICES, command="silence")
    return Message(spans=(Span(text),), buttons=tuple(rows))


def silence_scope(words: ViewContext, target: str) -> Message:
    """Asks for how long."""
    row = tuple(
        Button(duration(words.translator, seconds), encode(Origin.MENU, f"silence.{name}", target))
        for name, seconds in SILENCE_FOR.items()
    )
    return Message(spans=(Span(words.text("silence-for", what=target_words(words, target))),), buttons=(row,))


def unsilence_choice(words: ViewContext, rows: Sequence[SilenceRow]) -> Message:
    """Asks which silence is to end."""
    if not rows:
        return Message(spans=(Span(words.text("unsilence-nothing")),))
    buttons = [
        (Button(silence_line(words, row), encode(Origin.MENU, "unsilence", silence_target(row))),)
        for row in rows[:CHOICES]
    ]
    return Message(spans=(Span(words.text("choose-unsilence")),), buttons=tuple(buttons))


def silence_target(row: SilenceRow) -> str:
    """As `AlertCommand` names it."""
    match row.scope:
        case "all":
            return "all"
        case "kind":
            return f"kind:{row.target}"
        case "incident":
            return f"#{row.target}"
        case _:
            return row.target


def silence_line(words: ViewContext, row: SilenceRow) -> str:
    """ "presale_checker until 14:00"."""
    what = target_words(words, silence_target(row))
    if row.ends_at is None:
        return words.text("silence-line-open", what=what)
    return words.text("silence-line", what=what, until=words.clock(row.ends_at))


def oncall_message(
    words: ViewContext,
    oncall: OnCall,
    overrides: Iterable[OverrideRow],
    user_id: int | None,
    *,
    may_swap: bool,
) -> Message:
    """Who is on call now, until when, and who comes next."""
    overrides = list(overrides)
    now = oncall.now(words.now, overrides)
    if now is None:
        return Message(spans=(Span(words.text("oncall-none")),))
    person = oncall.people[now.person]
    until, left = words.clock(now.ends_at), ahead(words.translator, now.ends_at - words.now)
    # By name and without a mention: who asks does not call anybody.
    spans = [Span(words.text("oncall-now", person=without_mention(person.name)), Style.BOLD)]
    spans.append(Span("\n" + words.text("oncall-until", until=until, ahead=left)))
    if now.instead_of is not None:
        spans.append(Span("\n" + words.text("oncall-instead", person=without_mention(now.instead_of))))
    following = oncall.next(words.now, overrides)
    if following is not None:
        name = without_mention(following.person)
        at = words.clock(following.starts_at)
        spans.append(Span("\n" + words.text("oncall-next", person=name, at=at)))
    mine = next((p for p in oncall.people.values() if user_id is not None and p.user_id == user_id), None)
    rows: Rows = ()
    if may_swap and mine is not None and mine.name != now.person:
        data = encode(Origin.MENU, "oncall", mine.name)
        if len(data.encode()) <= 64:
            rows = ((Button(words.text("button-oncall"), data),),)
    return Message(spans=tuple(spans), buttons=rows)
