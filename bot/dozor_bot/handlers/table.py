"""The table of handlers and of the role that each needs. A command or button that is not in it is ignored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import CallbackData
from dozor_bot.commands import ACTION_ROLES, BY_NAME, ROLE_NAMES
from dozor_bot.handlers import actions, alerts, chart, code, status, why
from dozor_bot.handlers import history as past
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.handlers.help import show_help, show_identity
from dozor_bot.handlers.late import COMMAND_UNITS
from dozor_bot.responses import DENIED, Both, Denial, Response
from dozor_bot.security.access import Role
from dozor_bot.security.flood import Attempt
from dozor_bot.telegram.incoming import Command, Pressed

CommandHandler = Callable[[HandlerContext, Command, Role], Awaitable[Response]]
PressHandler = Callable[[HandlerContext, Pressed, CallbackData, Role], Awaitable[Response | None]]

COMMAND_HANDLERS: dict[str, CommandHandler] = {
    "status": status.on_command,
    "restart": actions.on_command,
    "pause": actions.on_command,
    "resume": actions.on_command,
    "run": actions.on_command,
    "errors": past.on_named_command,
    "history": past.on_named_command,
    "chart": chart.on_command,
    "incidents": past.on_command,
    "ack": alerts.on_ack,
    "why": why.on_command,
    "silence": alerts.on_silence,
    "unsilence": alerts.on_unsilence,
    "oncall": alerts.on_oncall,
    "audit": past.on_command,
    "code": code.on_command,
    "whoami": show_identity,
    "help": show_help,
}


@dataclass(frozen=True, slots=True)
class PressSpec:
    """`acts`: changes something, so that a press of hours ago is refused. `answers`: the press by itself."""

    role: Role
    handler: PressHandler
    acts: bool = False
    answers: bool = False


async def run_again(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response | None:
    """A command that came too late, now: in the name of whoever presses, after the usual checks."""
    text, to = context.translator.format, pressed.sender
    written = context.late_commands.get(press.task[1:]) if press.task.startswith("#") else press.task
    if written is None:
        return context.answer(to, text("again-forgotten"))
    name, _, argument = written.partition(" ")
    spec = BY_NAME.get(name)
    if spec is None:
        return context.answer(to, text("press-of-old-version-help"))
    if role < spec.role:
        needs = text("forbidden", needed=text(ROLE_NAMES[spec.role]), role=text(ROLE_NAMES[role]))
        attempt = Attempt(to.user_id, to.chat_id, f"/{name}", DENIED)
        return Denial(attempt=attempt, count=1, answer=context.answer(to, needs))
    command = Command(to, spec.name, argument, context.telegram_now())
    shown = context.say("again-running", command=shorten(one_line(written), COMMAND_UNITS))
    first = context.in_place(to, to.message_id, shown)
    return Both(first=first, then=await COMMAND_HANDLERS[spec.name](context, command, role))


PRESSES: dict[str, PressSpec] = {
    "again": PressSpec(Role.VIEWER, run_again, acts=True),
    "status": PressSpec(Role.VIEWER, status.on_press),
    "list": PressSpec(Role.VIEWER, status.on_list),
    "errors": PressSpec(Role.VIEWER, past.on_press),
    "history": PressSpec(Role.VIEWER, past.on_press),
    "chart": PressSpec(Role.VIEWER, chart.on_press),
    "incidents": PressSpec(Role.VIEWER, past.on_press),
    "audit": PressSpec(Role.ADMIN, past.on_press),
    "trace": PressSpec(Role.VIEWER, past.on_trace),
    "traceback": PressSpec(Role.VIEWER, past.on_incident_trace),
    "storm": PressSpec(Role.VIEWER, past.on_press),
    "why": PressSpec(Role.VIEWER, why.on_press),
    "silence": PressSpec(Role.OPERATOR, alerts.on_silence_press, acts=True),
    "unsilence": PressSpec(Role.OPERATOR, alerts.on_unsilence_press, acts=True),
    "oncall": PressSpec(Role.OPERATOR, alerts.on_oncall_press, acts=True),
    **{
        action: PressSpec(Role.OPERATOR, alerts.on_incident_press, acts=True)
        for action in alerts.INCIDENT_PRESSES
    },
    "many": PressSpec(Role.OPERATOR, actions.on_many, acts=True),
    "yes": PressSpec(Role.OPERATOR, actions.on_confirmed, acts=True, answers=True),
    "no": PressSpec(Role.OPERATOR, actions.on_confirmed, acts=True, answers=True),
    **{action: PressSpec(role, actions.on_press, acts=True) for action, role in ACTION_ROLES.items()},
}
"""By the action of a button: what precedes the first dot."""
