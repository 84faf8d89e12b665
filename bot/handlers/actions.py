"""Restart, pause, resume, run: by command, by a choice, by the button under an alert."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.handlers.choice import CHOICES, not_one, task_buttons
from bot.handlers.desk import Desk, message
from bot.incoming import Command, Pressed, Sender
from bot.names import Found, resolve
from bot.replies import PressAnswer
from bot.status_text import state_words, worst_first
from bot.work import Work, actor_of
from runner.alerting.buttons import Origin, Press
from runner.alerting.text import one_line, shorten
from runner.control.commands import CommandName, CommandReason, CommandResult, submit, wait
from runner.control.status import TaskStatus
from runner.language.times import rough
from runner.language.translator import Translator
from runner.storage.pool import Connection
from runner.supervision.state import State

STALE_AFTER = 300.0
"""Seconds after which a command that acts is refused: the person meant another situation."""
RESULT_TIMEOUT = 10.0
PATIENCE = 1.0
"""Seconds without a result after which the person is told that work is going on."""
NAME_UNITS = 60


@dataclass(frozen=True, slots=True)
class ActionWords:
    """`command`: as people write it. The others are keys of texts."""

    command: str
    choose: str
    working: str
    done: str
    already: str


WORDS = {
    CommandName.RESTART: ActionWords(
        "restart", "choose-restart", "working-restart", "done-restart", "already-restart"
    ),
    CommandName.PAUSE: ActionWords("pause", "choose-pause", "working-pause", "done-pause", "already-pause"),
    CommandName.RESUME: ActionWords(
        "resume", "choose-resume", "working-resume", "done-resume", "already-resume"
    ),
    CommandName.RUN_NOW: ActionWords("run", "choose-run", "working-run", "done-run", "already-run"),
}
_REFUSALS = {
    CommandReason.UNKNOWN_TASK: "refused-unknown",
    CommandReason.DISABLED: "refused-disabled",
    CommandReason.EXPIRED: "refused-expired",
    CommandReason.NO_RUNNER: "refused-no-runner",
    CommandReason.TIMEOUT: "refused-timeout",
}


async def on_command(desk: Desk, command: Command, action: CommandName, now: float) -> Work:
    """Reads, and decides; the command itself is written by the work's `write`."""
    text, to = desk.translator.format, command.sender
    if now - command.date > STALE_AFTER:
        late = rough(desk.translator, now - command.date)
        return desk.answer(to, text("too-old-command", duration=late))
    tasks = (await desk.report()).tasks
    if not command.argument:
        return _choose(desk, to, action, tasks)
    meant = resolve(command.argument, tuple(task.name for task in tasks))
    if not isinstance(meant, Found):
        return not_one(desk, to, command.argument, meant, action.value)
    return Action(sender=to, desk=desk, action=action, task=meant.name)


async def on_press(desk: Desk, pressed: Pressed, press: Press, action: CommandName) -> Work:
    """Answers the press first. One that Telegram calls stale is hours old, and is not carried out."""
    text, to = desk.translator.format, pressed.sender
    answered = await desk.replies.answer_press(pressed.callback_id, text("press-taken"))
    if answered is PressAnswer.STALE:
        return desk.answer(to, text("too-old-press"))
    if press.task not in {task.name for task in (await desk.report()).tasks}:
        return desk.answer(to, text("refused-unknown", task=shorten(one_line(press.task), NAME_UNITS)))
    return Action(sender=to, desk=desk, action=action, task=press.task, origin=press.origin)


def _choose(desk: Desk, to: Sender, action: CommandName, tasks: tuple[TaskStatus, ...]) -> Work:
    text = desk.translator.format
    names = [task.name for task in worst_first(tasks) if _makes_sense(action, task)]
    if not names:
        nothing = "choose-nothing-resume" if action is CommandName.RESUME else "choose-nothing"
        return desk.answer(to, text(nothing))
    question = text(WORDS[action].choose)
    if len(names) > CHOICES:
        question += "\n" + text("choose-more", count=CHOICES, command=WORDS[action].command)
    return desk.answer(to, question, task_buttons(names, action.value))


def _makes_sense(action: CommandName, task: TaskStatus) -> bool:
    match action:
        case CommandName.RESTART:
            return True
        case CommandName.PAUSE:
            return task.state is not State.PAUSED
        case CommandName.RESUME:
            return task.state is State.PAUSED
        case CommandName.RUN_NOW:
            return task.running_for_s is None


@dataclass(kw_only=True)
class Action(Work):
    """One command through the database door, and the truth about what came of it."""

    sender: Sender
    desk: Desk
    action: CommandName
    task: str
    origin: Origin | None = None
    """Of the pressed button; None: a written command."""
    command_id: int = 0

    def hears(self) -> Sender:
        return self.sender

    async def write(self, connection: Connection) -> None:
        self.command_id = await submit(connection, self.action, self.task, actor_of(self.sender))

    async def finish(self) -> None:
        replies, translator = self.desk.replies, self.desk.translator
        at_work: int | None = self.sender.message_id if self.origin is Origin.MENU else None
        waiting = asyncio.create_task(wait(self.desk.pool, self.command_id, timeout=RESULT_TIMEOUT))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=PATIENCE)
            if not done:
                working = message(translator.format(WORDS[self.action].working, task=self.task))
                if at_work is None:
                    at_work = await replies.send(self.sender, working)
                else:
                    await replies.edit(self.sender, at_work, working)
            result = await waiting
        finally:
            waiting.cancel()
        text = result_text(translator, self.action, self.task, result)
        if self.origin is not None and self.sender.user_name:
            text = f"{text} · {shorten(one_line(self.sender.user_name), NAME_UNITS)}"
        if at_work is None:
            await replies.send(self.sender, message(text))
        else:
            await replies.edit(self.sender, at_work, message(text))
        if self.origin is Origin.ALERT and result.ok:
            await replies.remove_buttons(self.sender, self.sender.message_id)


def result_text(translator: Translator, action: CommandName, task: str, result: CommandResult) -> str:
    """What really happened."""
    words = WORDS[action]
    state = state_words(translator, result.state or State.WAITING)
    match result.reason:
        case CommandReason.DONE:
            return translator.format(words.done, task=task, state=state)
        case CommandReason.ALREADY:
            return translator.format(words.already, task=task, state=state)
        case _:
            return translator.format(_REFUSALS[result.reason], task=task)
