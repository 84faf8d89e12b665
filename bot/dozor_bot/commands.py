"""The table of the bot's commands: names, roles, and the texts of the menu."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dozor.control.commands.commands import CommandName
from dozor_bot.security.access import Role


class Argument(StrEnum):
    """What may follow a command; the key of a text."""

    NONE = ""
    NAME = "argument-name"
    NAME_AND_PERIOD = "argument-name-period"
    INCIDENT = "argument-incident"
    CODE = "argument-code"
    SCOPE = "argument-scope"
    SILENCE = "argument-silence"
    PERSON = "argument-person"


class Group(StrEnum):
    """Parts of `/help`; the key of a heading."""

    LOOK = "help-look"
    ACT = "help-act"
    ALERTS = "help-alerts"


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """`description` is the key of a text. `action`: the command that it submits, if it submits one."""

    name: str
    role: Role
    description: str
    group: Group
    argument: Argument = Argument.NONE
    action: CommandName | None = None


COMMANDS = (
    CommandSpec("status", Role.VIEWER, "command-status", Group.LOOK, Argument.NAME),
    CommandSpec("restart", Role.OPERATOR, "command-restart", Group.ACT, Argument.NAME, CommandName.RESTART),
    CommandSpec("pause", Role.OPERATOR, "command-pause", Group.ACT, Argument.NAME, CommandName.PAUSE),
    CommandSpec("resume", Role.OPERATOR, "command-resume", Group.ACT, Argument.NAME, CommandName.RESUME),
    CommandSpec("run", Role.OPERATOR, "command-run", Group.ACT, Argument.NAME, CommandName.RUN_NOW),
    CommandSpec("errors", Role.VIEWER, "command-errors", Group.LOOK, Argument.NAME),
    CommandSpec("history", Role.VIEWER, "command-history", Group.LOOK, Argument.NAME),
    CommandSpec("chart", Role.VIEWER, "command-chart", Group.LOOK, Argument.NAME_AND_PERIOD),
    CommandSpec("incidents", Role.VIEWER, "command-incidents", Group.ALERTS),
    CommandSpec("ack", Role.OPERATOR, "command-ack", Group.ALERTS, Argument.INCIDENT),
    CommandSpec("why", Role.VIEWER, "command-why", Group.ALERTS, Argument.INCIDENT),
    CommandSpec("silence", Role.OPERATOR, "command-silence", Group.ALERTS, Argument.SILENCE),
    CommandSpec("unsilence", Role.OPERATOR, "command-unsilence", Group.ALERTS, Argument.SCOPE),
    CommandSpec("oncall", Role.VIEWER, "command-oncall", Group.ALERTS, Argument.PERSON),
    CommandSpec("audit", Role.ADMIN, "command-audit", Group.LOOK),
    CommandSpec("code", Role.OPERATOR, "command-code", Group.ACT, Argument.CODE),
    CommandSpec("whoami", Role.VIEWER, "command-whoami", Group.LOOK),
    CommandSpec("help", Role.VIEWER, "command-help", Group.LOOK),
)
BY_NAME = {spec.name: spec for spec in COMMANDS}
BY_NAME["start"] = BY_NAME["help"]
ACTION_ROLES = {spec.action: spec.role for spec in COMMANDS if spec.action is not None}
ROLE_NAMES = {Role.VIEWER: "role-viewer", Role.OPERATOR: "role-operator", Role.ADMIN: "role-admin"}
