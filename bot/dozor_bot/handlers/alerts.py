"""`/ack`, `/silence`, `/unsilence`, `/oncall`, and the buttons under an alert."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from dozor.alerting.model.message import Button, Message, Span
from dozor.alerting.rendering.callback_data import CallbackData, Origin, encode
from dozor.control.commands.commands import AlertCommand
from dozor.control.commands.periods import (
    LONGEST,
    Lasting,
    LengthOrMoment,
    Period,
    Unclear,
    Unusable,
    WithoutUnit,
    parse_period,
)
from dozor.control.queries.history import read_incidents
from dozor.control.task_names import Found, resolve
from dozor.language.times import duration
from dozor.storage.tables import silences
from dozor_bot.handlers.alerting import AlertAction
from dozor_bot.handlers.choice import CHOICES, not_one
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.history import incidents_after, words_of
from dozor_bot.handlers.late import DATA_BYTES, late
from dozor_bot.people import without_mention
from dozor_bot.responses import DENIED, Denial, Reply, Response
from dozor_bot.security.access import Role
from dozor_bot.security.flood import Attempt
from dozor_bot.telegram.incoming import Command, Pressed, Sender
from dozor_bot.views.alerts import (
    SILENCE_FOR,
    ack_choice,
    oncall_message,
    silence_choice,
    silence_scope,
    unsilence_choice,
)

ALL_WORDS = frozenset({"all", "все", "всё"})
_BEFORE_A_PERIOD = frozenset(("до", "по", "на", "until", "till", "til", "for"))
SWAP_WORDS = frozenset({"swap", "смена"})
UNITS = {"m": ("minutes", 60.0), "h": ("hours", 3600.0), "d": ("days", 86_400.0)}
"""What a number without a unit may mean: the key of a text, and seconds."""


async def on_ack(context: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: of several open incidents, which one?"""
    if (refusal := late(context, command)) is not None:
        return refusal
    words = command.argument.split()
    number = words[0].lstrip("#№") if words else ""
    if number.isascii() and number.isdecimal() and len(number) < 18:
        if len(words) == 1:
            return _act(context, command.sender, AlertCommand.ACK, str(int(number)))
        period = _period(context, words[1:])
        if isinstance(period, Lasting):
            return _act(context, command.sender, AlertCommand.ACK, str(int(number)), seconds=period.seconds)
        if period is Unusable.NOT_UNDERSTOOD and not _may_be_a_period(words[1]):
            return _act(context, command.sender, AlertCommand.ACK, str(int(number)))
        return _ask_period(context, command.sender, period, f"ack {int(number)}")
    if command.argument:
        return context.answer(command.sender, context.translator.format("ack-number"))
    async with context.pool.acquire() as connection:
        lines, _, _ = await read_incidents(connection, CHOICES)
    return _show(
        context, command.sender, ack_choice(words_of(context), [line for line in lines if line.is_open])
    )


def _may_be_a_period(word: str) -> bool:
    """Whether the words that begin with it are a length that is not understood, and no remark."""
    return word.casefold() in _BEFORE_A_PERIOD or any(character.isdecimal() for character in word)


async def on_silence(context: HandlerContext, command: Command, role: Role) -> Response:
    """`name|all 1h why`: what is missing is asked for by buttons."""
    if (refusal := late(context, command)) is not None:
        return refusal
    names, words = await context.names(), command.argument.split()
    if not words:
        return _show(context, command.sender, silence_choice(words_of(context), names))
    target = await _target(context, command.sender, words[0], names, "silence")
    if isinstance(target, Response):
        return target
    if len(words) == 1:
        return _show(context, command.sender, silence_scope(words_of(context), target))
    period = _period(context, words[1:])
    if not isinstance(period, Lasting):
        return _ask_period(context, command.sender, period, f"silence {target}", target)
    reason = " ".join(words[1 + period.words :])
    return _act(context, command.sender, AlertCommand.SILENCE, target, seconds=period.seconds, reason=reason)


async def on_unsilence(context: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: which of the silences?"""
    if (refusal := late(context, command)) is not None:
        return refusal
    if not command.argument:
        rows = await silences.read_active(context.pool)
        return _show(context, command.sender, unsilence_choice(words_of(context), rows))
    names = await context.names()
    target = await _target(context, command.sender, command.argument, names, "unsilence")
    return (
        target
        if isinstance(target, Response)
        else _act(context, command.sender, AlertCommand.UNSILENCE, target)
    )


async def on_oncall(context: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: who is on call now and next. `/oncall [swap] name [4h]`: that person takes over (operators)."""
    words = [word for word in command.argument.split() if word.casefold() not in SWAP_WORDS]
    if not words:
        return await _oncall(context, command.sender, role)
    if (refusal := late(context, command)) is not None:
        return refusal
    if role < Role.OPERATOR:
        answer = context.answer(command.sender, context.translator.format("oncall-role"))
        attempt = Attempt(command.sender.user_id, command.sender.chat_id, "/oncall swap", DENIED)
        return Denial(attempt=attempt, count=1, answer=answer)
    people = list(context.oncall.people)
    named = [count for count in range(len(words), 0, -1) if _person(words[:count], people) is not None]
    if not named:
        known = without_mention(", ".join(people)) or "—"
        return context.answer(command.sender, context.translator.format("oncall-unknown", people=known))
    person, rest = _person(words[: named[0]], people) or "", words[named[0] :]
    if not rest:
        return _act(context, command.sender, AlertCommand.ONCALL, person)
    period = _period(context, rest)
    if isinstance(period, Lasting) and period.words == len(rest):
        return _act(context, command.sender, AlertCommand.ONCALL, person, seconds=period.seconds)
    wrong = Unusable.NOT_UNDERSTOOD if isinstance(period, Lasting) else period
    return _ask_period(context, command.sender, wrong, f"oncall {person}")


def _person(words: list[str], people: list[str]) -> str | None:
    meant = resolve(" ".join(words), people)
    return meant.name if isinstance(meant, Found) else None


def _period(context: HandlerContext, words: list[str]) -> Period:
    return parse_period(words, context.clock.now(), context.timezone)


def _ask_period(
    context: HandlerContext,
    to: Sender,
    wrong: Unclear,
    command: str,
    target: str | None = None,
) -> Response:
    """What is wrong with the length of time. `command`: what the length is added to, without the slash.

    `target`: whose silence is asked for, so that buttons can offer lengths.
    """
    text = context.translator.format
    match wrong:
        case WithoutUnit(number):
            row = [
                Button(text(key, count=number), encode(Origin.MENU, "again", f"{command} {number}{unit}"))
                for unit, (key, seconds) in UNITS.items()
                if number * seconds <= LONGEST
            ]
            return context.answer(to, text("period-unit", number=str(number)), _fitting(row))
        case LengthOrMoment(hours, minutes):
            length = duration(context.translator, hours * 3600.0 + minutes * 60.0)
            clock = f"{hours}:{minutes:02}"
            again = f"{command} {hours}h{minutes}m", f"{command} until {clock}"
            labels = length, text("period-until", time=clock)
            row = [
                Button(label, encode(Origin.MENU, "again", words))
                for label, words in zip(labels, again, strict=True)
            ]
            return context.answer(to, text("period-or-moment", time=clock, length=length), _fitting(row))
        case Unusable.NOT_POSITIVE:
            return context.answer(to, text("period-not-positive"))
        case Unusable.TOO_LONG:
            return context.answer(to, text("period-too-long"))
        case Unusable.NOT_UNDERSTOOD if target is not None:
            asked = silence_scope(words_of(context), target)
            spans = (Span(text("silence-how-long") + "\n"), *asked.spans)
            return _show(context, to, replace(asked, spans=spans))
        case Unusable.NOT_UNDERSTOOD:
            return context.answer(to, text("silence-how-long"))
        case _:
            assert_never(wrong)


def _fitting(row: list[Button]) -> list[list[Button]]:
    """The row, unless the data of one of its buttons is too long."""
    return [row] if row and all(len(button.data.encode()) <= DATA_BYTES for button in row) else []


async def _oncall(context: HandlerContext, to: Sender, role: Role) -> Response:
    overrides = await silences.read_overrides(context.pool)
    may_swap = role >= Role.OPERATOR
    message = oncall_message(words_of(context), context.oncall, overrides, to.user_id, may_swap=may_swap)
    return _show(context, to, message)


# -- buttons


async def on_incident_press(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """Under an alert or in a list: acknowledge, undo it, silence. `press.task` is the incident's id."""
    action, _, listed = press.action.partition(".")
    name, target, seconds = INCIDENT_PRESSES[action]
    if not (press.task.isascii() and press.task.isdigit()):
        return context.answer(pressed.sender, context.translator.format("press-unknown"))
    in_place = pressed.sender.message_id if press.origin is Origin.MENU else None
    return AlertAction(
        context=context,
        sender=pressed.sender,
        name=name,
        target=target.format(press.task),
        seconds=seconds,
        under_alert=press.origin is Origin.ALERT and pressed.shown is True,
        in_place=in_place,
        relist=None if not listed else lambda text: incidents_after(context, text),
    )


INCIDENT_PRESSES: dict[str, tuple[AlertCommand, str, float | None]] = {
    "ack": (AlertCommand.ACK, "{}", None),
    "unack": (AlertCommand.UNACK, "{}", None),
    "silence-1h": (AlertCommand.SILENCE, "#{}", 3600.0),
    "silence-4h": (AlertCommand.SILENCE, "#{}", 14_400.0),
    "silence-until": (AlertCommand.SILENCE, "#{}", None),
    "unsilence-incident": (AlertCommand.UNSILENCE, "#{}", None),
}


async def on_silence_press(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """`silence:task` asks how long, `silence.1h:task` does it. `task` may be "all"."""
    how_long = SILENCE_FOR.get(press.action.partition(".")[2])
    if how_long is None:
        return context.in_place(
            pressed.sender, pressed.sender.message_id, silence_scope(words_of(context), press.task)
        )
    return _press(context, pressed, AlertCommand.SILENCE, press.task, how_long)


async def on_unsilence_press(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    return _press(context, pressed, AlertCommand.UNSILENCE, press.task)


async def on_oncall_press(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """The person who presses takes over until the end of the present shift."""
    return _press(context, pressed, AlertCommand.ONCALL, press.task)


def _press(
    context: HandlerContext, pressed: Pressed, name: AlertCommand, target: str, seconds: float | None = None
) -> Response:
    return AlertAction(
        context=context,
        sender=pressed.sender,
        name=name,
        target=target,
        seconds=seconds,
        in_place=pressed.sender.message_id,
    )


def _act(
    context: HandlerContext,
    to: Sender,
    name: AlertCommand,
    target: str,
    *,
    seconds: float | None = None,
    reason: str = "",
) -> Response:
    return AlertAction(context=context, sender=to, name=name, target=target, seconds=seconds, reason=reason)


def _show(context: HandlerContext, to: Sender, message: Message) -> Response:
    return Reply(sender=to, replies=context.replies, message=message)


async def _target(
    context: HandlerContext, to: Sender, query: str, names: list[str], action: str
) -> str | Response:
    """ "all", or the task that `query` means; else what to ask back."""
    if query.casefold() in ALL_WORDS:
        return "all"
    meant = resolve(query, names)
    return meant.name if isinstance(meant, Found) else not_one(context, to, query, meant, action)
