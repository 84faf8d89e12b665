"""`/ack`, `/silence`, `/unsilence`, `/oncall`, and the buttons under an alert."""

from __future__ import annotations

from dozor.alerting.model.message import Message
from dozor.alerting.policy.oncall import override
from dozor.alerting.rendering.callback_data import CallbackData, Origin
from dozor.config.durations import parse_duration
from dozor.control.commands.commands import AlertCommand
from dozor.control.queries.history import read_incidents
from dozor.control.task_names import Found, resolve
from dozor.language.times import rough
from dozor.storage.tables import silences
from dozor_bot.handlers.alerting import AlertAction
from dozor_bot.handlers.choice import CHOICES, not_one
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.history import words_of
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

STALE_AFTER = 300.0
"""Seconds after which a command that acts is refused: the person meant another situation."""
ALL_WORDS = frozenset({"all", "все", "всё"})
SWAP_WORDS = frozenset({"swap", "смена"})


async def on_ack(desk: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: of several open incidents, which one?"""
    if (late := _late(desk, command)) is not None:
        return late
    number = command.argument.lstrip("#")
    if number.isdecimal() and len(number) < 18:
        return _act(desk, command.sender, AlertCommand.ACK, str(int(number)))
    if command.argument:
        return desk.answer(command.sender, desk.translator.format("ack-number"))
    async with desk.pool.acquire() as connection:
        lines, _, _ = await read_incidents(connection, CHOICES)
    return _show(desk, command.sender, ack_choice(words_of(desk), [line for line in lines if line.is_open]))


async def on_silence(desk: HandlerContext, command: Command, role: Role) -> Response:
    """`name|all 1h why`: what is missing is asked for by buttons."""
    if (late := _late(desk, command)) is not None:
        return late
    names, words = await desk.names(), command.argument.split()
    if not words:
        return _show(desk, command.sender, silence_choice(words_of(desk), names))
    target = await _target(desk, command.sender, words[0], names, "silence")
    if isinstance(target, Response):
        return target
    if len(words) == 1:
        return _show(desk, command.sender, silence_scope(words_of(desk), target))
    try:
        seconds = parse_duration(words[1])
    except ValueError:
        return desk.answer(command.sender, desk.translator.format("silence-how-long"))
    return _act(
        desk, command.sender, AlertCommand.SILENCE, target, seconds=seconds, reason=" ".join(words[2:])
    )


async def on_unsilence(desk: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: which of the silences?"""
    if (late := _late(desk, command)) is not None:
        return late
    if not command.argument:
        rows = await silences.read_active(desk.pool)
        return _show(desk, command.sender, unsilence_choice(words_of(desk), rows))
    names = await desk.names()
    target = await _target(desk, command.sender, command.argument, names, "unsilence")
    return (
        target if isinstance(target, Response) else _act(desk, command.sender, AlertCommand.UNSILENCE, target)
    )


async def on_oncall(desk: HandlerContext, command: Command, role: Role) -> Response:
    """Bare: who is on call now and next. `/oncall [swap] name [4h]`: that person takes over (operators)."""
    words = [word for word in command.argument.split() if word.casefold() not in SWAP_WORDS]
    if not words:
        return await _oncall(desk, command.sender, role)
    if (late := _late(desk, command)) is not None:
        return late
    if role < Role.OPERATOR:
        answer = desk.answer(command.sender, desk.translator.format("oncall-role"))
        attempt = Attempt(command.sender.user_id, command.sender.chat_id, "/oncall swap", DENIED)
        return Denial(attempt=attempt, count=1, answer=answer)
    seconds = None
    if len(words) > 1:
        try:
            seconds = parse_duration(words[-1])
        except ValueError:
            return desk.answer(command.sender, desk.translator.format("silence-how-long"))
        words = words[:-1]
    people = list(desk.oncall.people)
    meant = resolve(" ".join(words), people)
    if not isinstance(meant, Found):
        known = ", ".join(people) or "—"
        return desk.answer(command.sender, desk.translator.format("oncall-unknown", people=known))
    return _act(desk, command.sender, AlertCommand.ONCALL, meant.name, seconds=seconds)


async def _oncall(desk: HandlerContext, to: Sender, role: Role) -> Response:
    overrides = [override(row) for row in await silences.read_overrides(desk.pool)]
    may_swap = role >= Role.OPERATOR
    message = oncall_message(words_of(desk), desk.oncall, overrides, to.user_id, may_swap=may_swap)
    return _show(desk, to, message)


# -- buttons


async def on_incident_press(
    desk: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """Under an alert or in a list: take on, give back, keep quiet. `press.task` is the incident's id."""
    name, target, seconds = INCIDENT_PRESSES[press.action]
    if not (press.task.isascii() and press.task.isdigit()):
        return desk.answer(pressed.sender, desk.translator.format("press-unknown"))
    in_place = pressed.sender.message_id if press.origin is Origin.MENU else None
    return AlertAction(
        desk=desk,
        sender=pressed.sender,
        name=name,
        target=target.format(press.task),
        seconds=seconds,
        under_alert=press.origin is Origin.ALERT,
        in_place=in_place,
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
    desk: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """`silence:task` asks how long, `silence.1h:task` does it. `task` may be "all"."""
    how_long = SILENCE_FOR.get(press.action.partition(".")[2])
    if how_long is None:
        return desk.in_place(
            pressed.sender, pressed.sender.message_id, silence_scope(words_of(desk), press.task)
        )
    return _press(desk, pressed, AlertCommand.SILENCE, press.task, how_long)


async def on_unsilence_press(
    desk: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    return _press(desk, pressed, AlertCommand.UNSILENCE, press.task)


async def on_oncall_press(
    desk: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response:
    """The person who presses takes over until the end of the present shift."""
    return _press(desk, pressed, AlertCommand.ONCALL, press.task)


def _press(
    desk: HandlerContext, pressed: Pressed, name: AlertCommand, target: str, seconds: float | None = None
) -> Response:
    return AlertAction(
        desk=desk,
        sender=pressed.sender,
        name=name,
        target=target,
        seconds=seconds,
        in_place=pressed.sender.message_id,
    )


def _act(
    desk: HandlerContext,
    to: Sender,
    name: AlertCommand,
    target: str,
    *,
    seconds: float | None = None,
    reason: str = "",
) -> Response:
    return AlertAction(desk=desk, sender=to, name=name, target=target, seconds=seconds, reason=reason)


def _show(desk: HandlerContext, to: Sender, message: Message) -> Response:
    return Reply(sender=to, replies=desk.replies, message=message)


def _late(desk: HandlerContext, command: Command) -> Response | None:
    late = desk.clock.now() - command.date
    if late <= STALE_AFTER:
        return None
    text = desk.translator.format("too-old-command", duration=rough(desk.translator, late))
    return desk.answer(command.sender, text)


async def _target(
    desk: HandlerContext, to: Sender, query: str, names: list[str], action: str
) -> str | Response:
    """ "all", or the task that `query` means; else what to ask back."""
    if query.casefold() in ALL_WORDS:
        return "all"
    meant = resolve(query, names)
    return meant.name if isinstance(meant, Found) else not_one(desk, to, query, meant, action)
