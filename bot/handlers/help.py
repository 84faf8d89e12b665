"""`/help` and `/start`."""

from __future__ import annotations

from collections.abc import Sequence

from bot.access import Role
from bot.commands import ROLE_NAMES, CommandSpec
from bot.handlers.desk import Desk
from bot.incoming import Sender
from bot.work import Answer, Work
from runner.alerting.message import Message, Span, Style


def show_help(desk: Desk, to: Sender, role: Role, commands: Sequence[CommandSpec]) -> Work:
    """The commands this person may use."""
    text = desk.translator.format
    lines = [text("help-names"), text("help-role", role=text(ROLE_NAMES[role])), ""]
    for spec in commands:
        if role >= spec.role:
            description = text(spec.description)
            line = "help-line-name" if spec.takes_name else "help-line"
            lines.append(text(line, command=spec.name, description=description))
    spans = (Span(text("help-title"), Style.BOLD), Span("\n" + "\n".join(lines)))
    return Answer(sender=to, replies=desk.replies, message=Message(spans=spans))
