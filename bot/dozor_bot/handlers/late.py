"""Late commands and presses, and unknown buttons: answered with a button that carries them out now.

`m:again:restart presale_checker` carries a whole command; where it has no room for one, `m:again:#token`
refers to a command in memory. `m:late.restart:presale_checker` is the press `restart` once more, and says
by its name that it was offered once: if it is late as well, the person is given the command alone.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import CallbackData, Origin, encode
from dozor.control.commands.commands import CommandName
from dozor.control.queries.history import read_incident
from dozor.language.times import rough
from dozor_bot.commands import BY_NAME
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Reply, Response
from dozor_bot.telegram.answers import Effort
from dozor_bot.telegram.incoming import Command, Pressed, Sender
from dozor_bot.views.actions import WORDS

STALE_AFTER = 300.0
"""Seconds after which a command that acts is not carried out by itself: the situation was another one."""
DATA_BYTES = 64
"""https://core.telegram.org/bots/api#inlinekeyboardbutton: callback_data."""
AGAIN, LATE = "again", "late."
COMMAND_UNITS = 300


def late(context: HandlerContext, command: Command) -> Response | None:
    """None: it is not too late. By Telegram's clock, which has dated the command."""
    age = context.telegram_now() - command.date
    if age <= STALE_AFTER:
        return None
    text = context.translator.format("too-old-command", duration=rough(context.translator, age))
    return offer(context, command.sender, text, f"{command.name} {command.argument}".strip())


def offer(context: HandlerContext, to: Sender, text: str, command: str) -> Reply:
    """`text`, the command below it to be copied, and a button that runs it. `command`: without the slash."""
    data = encode(Origin.MENU, AGAIN, command)
    if len(data.encode()) > DATA_BYTES or not data.isprintable():
        data = encode(Origin.MENU, AGAIN, f"#{context.late_commands.keep(command)}")
    button = Button(context.translator.format("button-again"), data)
    return Reply(
        sender=to,
        replies=context.replies,
        message=Message(spans=_with_command(text, command), buttons=((button,),)),
        effort=Effort.ACTION,
    )


def _with_command(text: str, command: str) -> tuple[Span, ...]:
    return Span(text + "\n"), Span(shorten(f"/{one_line(command)}", COMMAND_UNITS), Style.CODE)


def unwrap(press: CallbackData | None) -> tuple[CallbackData | None, bool]:
    """The press without the prefix `late.`, and whether it had it."""
    if press is None or not press.action.startswith(LATE):
        return press, False
    return replace(press, action=press.action.removeprefix(LATE)), True


async def answer_late_press(
    context: HandlerContext, pressed: Pressed, press: CallbackData, *, offered: bool
) -> Response:
    """The command that does the same, and a button; no button if its like was late before."""
    text, command = context.translator.format("too-old-press"), await command_of(context, press)
    spans = (Span(text),) if command is None else _with_command(text, command)
    data = encode(Origin.MENU, LATE + press.action, press.task)
    rows: tuple[tuple[Button, ...], ...] = ()
    if not offered and press.action != AGAIN and len(data.encode()) <= DATA_BYTES:
        rows = ((Button(context.translator.format("button-again"), data),),)
    elif command is None:
        spans = (Span(context.translator.format("too-old-press-help")),)
    message = Message(spans=spans, buttons=rows)
    return Reply(sender=pressed.sender, replies=context.replies, message=message, effort=Effort.ACTION)


async def explain_unknown(context: HandlerContext, pressed: Pressed) -> Reply:
    """A button of an older version, or damaged data: the command that it may have meant."""
    command = _guess(pressed.data, await context.names())
    if command is not None:
        return offer(context, pressed.sender, context.translator.format("press-of-old-version"), command)
    return context.answer(pressed.sender, context.translator.format("press-of-old-version-help"))


def _guess(data: str, names: list[str]) -> str | None:
    words = [word for word in re.split(r"[\s:|./;,=]+", data) if word]
    actions = {action.value: words.command for action, words in WORDS.items()}
    for place, word in enumerate(words):
        name = actions.get(word, word)
        if name not in BY_NAME or name in ("code", "start"):
            continue
        for target in words[place + 1 :]:
            if target in names or (name in ("ack", "why") and re.fullmatch(r"[0-9]{1,17}", target)):
                return f"{name} {target}"
    return None


async def command_of(context: HandlerContext, press: CallbackData) -> str | None:
    """The command, without the slash, that does what the press does; None: there is none."""
    action, _, rest = press.action.partition(".")
    if action in tuple(CommandName):
        return f"{WORDS[CommandName(action)].command} {press.task}"
    match action:
        case "ack" | "oncall" | "unsilence":
            return f"{action} {press.task}"
        case "silence":
            return f"silence {press.task} {rest}".strip()
        case "many":
            return f"{rest} all"
        case "again":
            return context.late_commands.get(press.task[1:]) if press.task.startswith("#") else press.task
        case "silence-1h" | "silence-4h" | "silence-until" | "unsilence-incident" if press.task.isdecimal():
            task = await _task_of(context, press.task)
            if task is None:
                return None
            return (
                f"unsilence {task}"
                if action == "unsilence-incident"
                else f"silence {task} {_LENGTHS[action]}"
            )
        case _:
            return None


_LENGTHS = {"silence-1h": "1h", "silence-4h": "4h", "silence-until": "1d"}


async def _task_of(context: HandlerContext, number: str) -> str | None:
    if len(number) >= 18:
        return None
    async with context.pool.acquire() as connection:
        incident = await read_incident(connection, int(number))
    return None if incident is None else incident.task
