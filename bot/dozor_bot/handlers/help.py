"""`/help`, `/start` and `/whoami`."""

from __future__ import annotations

from typing import assert_never

from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor_bot.commands import COMMANDS, ROLE_NAMES, Group
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Recorded, Reply, Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Sender
from dozor_bot.views.status import NAME_UNITS


async def show_help(context: HandlerContext, command: Command, role: Role) -> Response:
    """The commands this person may use, by what they are for, with an example each."""
    text = context.translator.format
    names = await context.names()
    example = shorten(one_line(names[0]), NAME_UNITS) if names else text("argument-name")
    spans = [Span(text("help-title"), Style.BOLD)]
    spans.append(Span("\n" + text("help-names") + "\n" + text("help-role", role=text(ROLE_NAMES[role]))))
    for group in Group:
        specs = [spec for spec in COMMANDS if spec.group is group and role >= spec.role]
        if not specs:
            continue
        spans.append(Span("\n\n" + text(group), Style.BOLD))
        for spec in specs:
            argument = f" {text(spec.argument)}" if spec.argument else ""
            line = text("help-line", command=spec.name + argument, description=text(spec.description))
            spans.append(Span("\n" + line))
        spans += [Span("\n" + text("help-example") + " "), Span(_example(group, role, example), Style.CODE)]
    return Reply(sender=command.sender, replies=context.replies, message=Message(spans=tuple(spans)))


def _example(group: Group, role: Role, task: str) -> str:
    """One that this person may send."""
    match group:
        case Group.LOOK:
            return f"/status {task}"
        case Group.ACT:
            return f"/restart {task}"
        case Group.ALERTS:
            return f"/silence {task} 30m" if role >= Role.OPERATOR else "/incidents"
        case _:
            assert_never(group)


async def show_identity(context: HandlerContext, command: Command, role: Role) -> Response:
    """Who Dozor takes this person for; to an admin in a group also the ids of the chat and its topic."""
    text, sender = context.translator.format, command.sender
    spans: tuple[Span, ...] = (
        Span(text("whoami-id") + " "),
        Span(str(sender.user_id), Style.CODE),
        Span("\n" + text("whoami-role", role=text(ROLE_NAMES[role]))),
    )
    if role is Role.ADMIN and not sender.private:
        chat = str(sender.chat_id) if sender.thread_id is None else f'"{sender.chat_id}:{sender.thread_id}"'
        spans += (Span("\n" + text("whoami-chat") + " "), Span(f"chat: {chat}", Style.CODE))
    return Reply(sender=sender, replies=context.replies, message=Message(spans=spans))


def show_identity_to_a_stranger(context: HandlerContext, sender: Sender) -> Response:
    """The only thing they ever get: their own id, to be passed on."""
    text = context.translator.format
    spans = (
        Span(text("whoami-id") + " "),
        Span(str(sender.user_id), Style.CODE),
        Span("\n" + text("whoami-stranger")),
    )
    return Recorded(sender=sender, replies=context.replies, message=Message(spans=spans), action="/whoami")
