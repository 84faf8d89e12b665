"""The bot's commands: names, roles, and what the menu says. What is not here does not exist."""

from __future__ import annotations

from dataclasses import dataclass

from bot.access import Role
from runner.control.commands import CommandName


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """`description` is the key of a text. `action`: the command through the door, if it is one."""

    name: str
    role: Role
    description: str
    takes_name: bool = False
    action: CommandName | None = None


COMMANDS = (
    CommandSpec("status", Role.VIEWER, "command-status", takes_name=True),
    CommandSpec("restart", Role.OPERATOR, "command-restart", takes_name=True, action=CommandName.RESTART),
    CommandSpec("pause", Role.OPERATOR, "command-pause", takes_name=True, action=CommandName.PAUSE),
    CommandSpec("resume", Role.OPERATOR, "command-resume", takes_name=True, action=CommandName.RESUME),
    CommandSpec("run", Role.OPERATOR, "command-run", takes_name=True, action=CommandName.RUN_NOW),
    CommandSpec("help", Role.VIEWER, "command-help"),
)
BY_NAME = {spec.name: spec for spec in COMMANDS} | {"start": COMMANDS[-1]}
ACTION_ROLES = {spec.action: spec.role for spec in COMMANDS if spec.action is not None}
ROLE_NAMES = {Role.VIEWER: "role-viewer", Role.OPERATOR: "role-operator", Role.ADMIN: "role-admin"}
