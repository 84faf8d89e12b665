"""`/help`, `/start` and `/whoami`."""

from __future__ import annotations

from dozor.alerting.model.message import Message, Span, Style
from dozor_bot.commands import COMMANDS, ROLE_NAMES
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import Recorded, Reply, Response
from dozor_bot.security.access import Role
from dozor_bot.telegram.incoming import Command, Sender


async def show_help(desk: HandlerContext, command: Command, role: Role) -> Response:
    """The commands this person may use."""
    text = desk.translator.format
    lines = [text("help-names"), text("help-role", role=text(ROLE_NAMES[role])), ""]
    for spec in COMMANDS:
        if role >= spec.role:
            argument = f" {text(spec.argument)}" if spec.argument else ""
            line = text("help-line", command=spec.name + argument, description=text(spec.description))
            lines.append(line)
    spans = (Span(text("help-title"), Style.BOLD), Span("\n" + "\n".join(lines)))
    return Reply(sender=command.sender, replies=desk.replies, message=Message(spans=spans))


async def show_identity(desk: HandlerContext, command: Command, role: Role) -> Response:
    """Who Dozor takes this person for; to an admin in a group also the ids of the chat and its topic."""
    text, sender = desk.translator.format, command.sender
    spans: tuple[Span, ...] = (
        Span(text("whoami-id") + " "),
        Span(str(sender.user_id), Style.CODE),
        Span("\n" + text("whoami-role", role=text(ROLE_NAMES[role]))),
    )
    if role is Role.ADMIN and not sender.private:
        chat = str(sender.chat_id) if sender.thread_id is None else f'"{sender.chat_id}:{sender.thread_id}"'
        spans += (Span("\n" + text("whoami-chat") + " "), Span(f"chat: {chat}", Style.CODE))
    return Reply(sender=sender, replies=desk.replies, message=Message(spans=spans))


def show_identity_to_a_stranger(desk: HandlerContext, sender: Sender) -> Response:
    """The only thing they ever get: their own id, to be passed on."""
    text = desk.translator.format
    spans = (
        Span(text("whoami-id") + " "),
        Span(str(sender.user_id), Style.CODE),
        Span("\n" + text("whoami-stranger")),
    )
    return Recorded(sender=sender, replies=desk.replies, message=Message(spans=spans), action="/whoami")
