"""From an update to the work it leads to. Default deny: the role is checked on every message and press."""

from __future__ import annotations

from typing import assert_never

from aiogram.types import Update

from bot.access import Access, Denials, Role
from bot.commands import ACTION_ROLES, BY_NAME, COMMANDS, ROLE_NAMES
from bot.handlers import actions
from bot.handlers.desk import Desk
from bot.handlers.help import show_help
from bot.handlers.status import ShowStatus
from bot.incoming import Command, Pressed, Sender, read_update
from bot.work import Answer, Denial, Work
from runner.alerting.buttons import Press, decode
from runner.alerting.text import one_line, shorten
from runner.clock import Clock
from runner.control.commands import CommandName

AUDITED_UNITS = 40
SHOW = "status"
"""The action of a button that shows a task."""


class Router:
    """`username`: the bot's own, without @; commands addressed to another bot are not ours."""

    def __init__(self, desk: Desk, access: Access, clock: Clock) -> None:
        self.username = ""
        self._desk = desk
        self._access = access
        self._clock = clock
        self._denials = Denials()

    async def prepare(self, update: Update) -> Work | None:
        """Decides, answers a press, reads the database; writes nothing. None: nothing to do, and no trace."""
        incoming = read_update(update, self.username)
        match incoming:
            case None:
                return None
            case Command():
                return await self._command(incoming)
            case Pressed():
                return await self._pressed(incoming)
            case _:
                assert_never(incoming)

    def apology(self, update: Update, key: str) -> Work:
        """The text `key` to the person, if it is one of ours."""
        incoming = read_update(update, self.username)
        known = incoming is not None and self._access.role_of(incoming.sender.user_id) is not None
        return self.apology_to(incoming.sender if incoming is not None and known else None, key)

    def apology_to(self, sender: Sender | None, key: str) -> Work:
        """None: nobody hears of it."""
        return Work() if sender is None else self._desk.answer(sender, self._desk.translator.format(key))

    async def _command(self, command: Command) -> Work | None:
        sender, now = command.sender, self._clock.now()
        role = self._access.role_of(sender.user_id)
        spec = BY_NAME.get(command.name)
        if spec is None and not sender.private:
            return None  # in a group it may be meant for another bot there
        if role is None:
            return self._stranger(sender, f"/{command.name}" if command.name else "message")
        if spec is None:
            return self._unknown(sender)
        if role < spec.role:
            answer = self._desk.answer(sender, self._needs(role, spec.role))
            return _denial(sender, f"/{command.name}", answer=answer)
        if spec.action is not None:
            return await actions.on_command(self._desk, command, spec.action, now)
        if spec.name == SHOW:
            return ShowStatus(desk=self._desk, command=command, role=role)
        return show_help(self._desk, sender, role, COMMANDS)

    async def _pressed(self, pressed: Pressed) -> Work | None:
        sender = pressed.sender
        role = self._access.role_of(sender.user_id)
        if role is None:
            return self._stranger(sender, f"press {shorten(one_line(pressed.data), AUDITED_UNITS)}")
        press = decode(pressed.data)
        if press is None:
            return await self._dead_button(pressed)
        if press.action == SHOW:
            return await self._show(pressed, press, role)
        try:
            action = CommandName(press.action)
        except ValueError:
            return await self._dead_button(pressed)
        needed = ACTION_ROLES[action]
        if role < needed:
            # Said in the answer to the press, to this person alone.
            await self._desk.replies.answer_press(pressed.callback_id, self._needs(role, needed))
            return _denial(sender, f"press {action}")
        return await actions.on_press(self._desk, pressed, press, action)

    async def _show(self, pressed: Pressed, press: Press, role: Role) -> Work:
        await self._desk.replies.answer_press(pressed.callback_id, "")
        command = Command(pressed.sender, SHOW, press.task, self._clock.now())
        return ShowStatus(desk=self._desk, command=command, role=role)

    async def _dead_button(self, pressed: Pressed) -> Work:
        await self._desk.replies.answer_press(
            pressed.callback_id, self._desk.translator.format("press-unknown")
        )
        return _denial(pressed.sender, f"press {shorten(one_line(pressed.data), AUDITED_UNITS)}")

    def _unknown(self, sender: Sender) -> Work:
        return self._desk.answer(sender, self._desk.translator.format("command-unknown"))

    def _stranger(self, sender: Sender, action: str) -> Work | None:
        """Silence, and an audit row; of a flood one row in ten seconds."""
        attempts = self._denials.note(sender.user_id or sender.chat_id, self._clock.now())
        return None if attempts is None else _denial(sender, action, attempts)

    def _needs(self, role: Role, needed: Role) -> str:
        text = self._desk.translator.format
        return text("forbidden", needed=text(ROLE_NAMES[needed]), role=text(ROLE_NAMES[role]))


def _denial(sender: Sender, action: str, attempts: int = 1, answer: Answer | None = None) -> Denial:
    return Denial(
        user_id=sender.user_id, place=sender.chat_id, action=action, attempts=attempts, answer=answer
    )
