"""The bot's commands: names, roles, and what the menu says. What is not here does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dozor.control.commands.commands import CommandName
from dozor_bot.security.access import Role


class Argument(StrEnum):
    """What may stand behind a command; the key of a text."""

    NONE = ""
    NAME = "argument-name"
    NAME_AND_PERIOD = "argument-name-period"
    INCIDENT = "argument-incident"
    CODE = "argument-code"
    SCOPE = "argument-scope"
    SILENCE = "argument-silence"
    PERSON = "argument-person"


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """`description` is the key of a text. `action`: the command through the door, if it is one."""

    name: str
    role: Role
    description: str
    argument: Argument = Argument.NONE
    action: CommandName | None = None
    private_only: bool = False


COMMANDS = (
    CommandSpec("status", Role.VIEWER, "command-status", Argument.NAME),
    CommandSpec("restart", Role.OPERATOR, "command-restart", Argument.NAME, CommandName.RESTART),
    CommandSpec("pause", Role.OPERATOR, "command-pause", Argument.NAME, CommandName.PAUSE),
    CommandSpec("resume", Role.OPERATOR, "command-resume", Argument.NAME, CommandName.RESUME),
    CommandSpec("run", Role.OPERATOR, "command-run", Argument.NAME, CommandName.RUN_NOW),
    CommandSpec("errors", Role.VIEWER, "command-errors", Argument.NAME),
    CommandSpec("history", Role.VIEWER, "command-history", Argument.NAME),
    CommandSpec("chart", Role.VIEWER, "command-chart", Argument.NAME_AND_PERIOD),
    CommandSpec("incidents", Role.VIEWER, "command-incidents"),
    CommandSpec("ack", Role.OPERATOR, "command-ack", Argument.INCIDENT),
    CommandSpec("why", Role.VIEWER, "command-why", Argument.INCIDENT),
    CommandSpec("silence", Role.OPERATOR, "command-silence", Argument.SILENCE),
    CommandSpec("unsilence", Role.OPERATOR, "command-unsilence", Argument.SCOPE),
    CommandSpec("oncall", Role.VIEWER, "command-oncall", Argument.PERSON),
    CommandSpec("audit", Role.ADMIN, "command-audit"),
    CommandSpec("code", Role.OPERATOR, "command-code", Argument.CODE),
    CommandSpec("whoami", Role.VIEWER, "command-whoami"),
    CommandSpec("help", Role.VIEWER, "command-help"),
)
BY_NAME = {spec.name: spec for spec in COMMANDS}
BY_NAME["start"] = BY_NAME["help"]
ACTION_ROLES = {spec.action: spec.role for spec in COMMANDS if spec.action is not None}
ROLE_NAMES = {Role.VIEWER: "role-viewer", Role.OPERATOR: "role-operator", Role.ADMIN: "role-admin"}
