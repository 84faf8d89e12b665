"""Restart, pause, resume and run, by command or button: resolves the task, and asks for confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dozor.alerting.model.message import Button
from dozor.alerting.rendering.callback_data import CallbackData, Origin, encode
from dozor.control.commands.commands import CommandName
from dozor.control.commands.started_runs import read_earlier
from dozor.control.queries.status import TaskStatus
from dozor.control.task_names import Found, resolve
from dozor.language.times import duration
from dozor.supervision.core.state import State
from dozor_bot.handlers.choice import CHOICES, not_one, task_buttons
from dozor_bot.handlers.code import act
from dozor_bot.handlers.context import HandlerContext, message
from dozor_bot.handlers.late import DATA_BYTES, late, offer
from dozor_bot.responses import DENIED, Denial, Response, actor_of
from dozor_bot.security.access import Role
from dozor_bot.security.confirmations import WITHIN, Asked, Refusal
from dozor_bot.security.flood import Attempt
from dozor_bot.telegram.incoming import NO_MESSAGE, Command, Pressed, Sender
from dozor_bot.views.actions import BY_COMMAND, WORDS, shown
from dozor_bot.views.status import worst_first

LISTED = 10
ALL_WORDS = frozenset({"all", "все", "всё"})
MANY = "many"
"""The action of a button that means every fitting task: `many.<command>`."""


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """Reads, and decides; the command itself is written by the work's `write`."""
    to, action = command.sender, BY_COMMAND[command.name]
    if (refusal := late(context, command)) is not None:
        return refusal
    tasks = (await context.report()).tasks
    if not command.argument:
        return _choose(context, to, action, tasks)
    if command.argument.casefold() in ALL_WORDS:
        return await _many(context, to, action, tasks, None)
    names = [task.name for task in tasks]
    meant = resolve(command.argument, names)
    words = command.argument.replace(",", " ").split()
    if isinstance(meant, Found):
        return await decide(context, to, action, _of((meant.name,), tasks), None)
    found = [one.name for one in (resolve(word, names) for word in words) if isinstance(one, Found)]
    if len(words) > 1 and len(found) == len(words):
        return await decide(context, to, action, _of(tuple(dict.fromkeys(found)), tasks), None)
    return not_one(context, to, command.argument, meant, action.value)


async def on_press(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """One task, by its button."""
    tasks = (await context.report(press.task)).tasks
    if not tasks:
        return context.answer(
            pressed.sender, context.translator.format("refused-unknown", task=shown(press.task))
        )
    return await decide(context, pressed.sender, CommandName(press.action), tasks, press.origin)


async def on_many(context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role) -> Response:
    """Every task that the action fits, after a question."""
    action = BY_COMMAND.get(press.action.partition(".")[2])
    if action is None:
        return context.answer(pressed.sender, context.translator.format("press-unknown"))
    return await _many(context, pressed.sender, action, (await context.report()).tasks, press.origin)


async def _many(
    context: HandlerContext,
    to: Sender,
    action: CommandName,
    tasks: Sequence[TaskStatus],
    origin: Origin | None,
) -> Response:
    fitting = [task for task in worst_first(tasks) if _is_meant_by_all(action, task)]
    if not fitting:
        return context.answer(to, context.translator.format(_NOTHING[action]))
    return await decide(context, to, action, fitting, origin)


async def decide(
    context: HandlerContext,
    to: Sender,
    action: CommandName,
    tasks: Sequence[TaskStatus],
    origin: Origin | None,
) -> Response:
    """At once, or after a second step where it matters."""
    names = tuple(task.name for task in tasks)
    in_place = to.message_id if origin is Origin.MENU and to.message_id != NO_MESSAGE else None
    why = _reason_to_ask(context, to, action, tasks)
    if why is not None and len(tasks) == 1:
        async with context.pool.acquire() as connection:
            if await read_earlier(connection, action, names[0]) is not None:
                why = None  # somebody was faster: the answer says so
    if why is None:
        return act(context, to, action, names, in_place)
    return Question(context=context, sender=to, action=action, tasks=names, origin=origin, why=why)


def _reason_to_ask(
    context: HandlerContext, to: Sender, action: CommandName, tasks: Sequence[TaskStatus]
) -> str | None:
    """The question, if this should not happen by a slip of the thumb."""
    text = context.translator.format
    if len(tasks) > 1:
        lines = [text(WORDS[action].sure, count=len(tasks))]
        lines += [f"• {shown(task.name)}" for task in tasks[:LISTED]]
        if len(tasks) > LISTED:
            lines.append(text("alert-and-more", count=len(tasks) - LISTED))
        return "\n".join(lines)
    [task] = tasks
    name, by = shown(task.name), task.state_by
    somebody = by is not None and by != str(actor_of(to))
    who = "" if by is None else context.people.called(by, context.translator)
    match action:
        case CommandName.RESTART if task.running_for_s is not None and task.state is not State.STOPPED:
            return text(
                "sure-interrupt", task=name, duration=duration(context.translator, task.running_for_s)
            )
        case CommandName.RUN_NOW | CommandName.RESTART if task.state is State.PAUSED and somebody:
            return text("sure-paused-run", task=name, who=who)
        case CommandName.RESUME if task.state is State.PAUSED and somebody:
            return text("sure-paused", task=name, who=who)
        case _:
            return None


@dataclass(kw_only=True)
class Question(Response):
    """The second step: asks, and does nothing.

    Its button carries the command beside the token, so that after a restart it can be shown again.
    """

    context: HandlerContext
    sender: Sender
    action: CommandName
    tasks: tuple[str, ...]
    origin: Origin | None
    why: str

    def recipient(self) -> Sender:
        return self.sender

    def _data(self, token: str) -> str:
        command = f"{token}.{WORDS[self.action].command}.{self.tasks[0]}"
        fits = len(self.tasks) == 1 and len(encode(Origin.MENU, "yes", command).encode()) <= DATA_BYTES
        return command if fits else token

    async def send(self) -> None:
        context, text = self.context, self.context.translator.format
        until = context.clock.now() + WITHIN
        asked = Asked(self.sender, self.action, self.tasks, self.origin, until)
        token = context.confirmations.ask(asked)
        yes = Button(text(WORDS[self.action].yes), encode(Origin.MENU, "yes", self._data(token)))
        no = Button(text("button-cancel"), encode(Origin.MENU, "no", token))
        in_place = self.sender.message_id if self.origin is Origin.MENU else None
        asked.message_id = await context.replies.show(self.sender, in_place, message(self.why, [[yes, no]]))


async def on_confirmed(
    context: HandlerContext, pressed: Pressed, press: CallbackData, role: Role
) -> Response | None:
    """Yes or no to a question: of the person who was asked, in time, once. Answers the press itself."""
    text, to = context.translator.format, pressed.sender
    token, _, command = press.task.partition(".")
    known = context.confirmations.owner(token) is not None
    asked = context.confirmations.take(token, to.user_id, pressed.update_id, context.clock.now())
    match asked:
        case Refusal.NOT_YOURS:
            owner = context.confirmations.owner(token)
            name = "" if owner is None else shown(owner.user_name)
            await context.replies.answer_press(pressed.callback_id, text("confirm-not-yours", name=name))
            foreign = context.confirmations.asked_by(token)
            action = "press" if foreign is None else f"press {press.action} for {foreign.action}"
            target = "" if foreign is None else ", ".join(foreign.tasks)[:200]
            return Denial(attempt=Attempt(to.user_id, to.chat_id, action, DENIED, target), count=1)
        case Refusal.GONE:
            await context.replies.answer_press(pressed.callback_id, text("confirm-gone"))
            return None if known else _forgotten(context, pressed, press.action, command)
        case Asked():
            await context.replies.answer_press(pressed.callback_id, "")
    if press.action == "no":
        return context.in_place(to, to.message_id, message(text("confirm-cancelled")))
    return act(context, to, asked.action, asked.tasks, to.message_id)


def _forgotten(context: HandlerContext, pressed: Pressed, answer: str, command: str) -> Response:
    """The question was asked before a restart, or long ago: what to send instead, in its place."""
    text, to = context.translator.format, pressed.sender
    if answer == "no":
        return context.in_place(to, to.message_id, message(text("confirm-cancelled")))
    name, _, task = command.partition(".")
    if name not in BY_COMMAND or not task:
        return context.in_place(to, to.message_id, message(text("confirm-forgotten-help")))
    offered = offer(context, to, text("confirm-forgotten"), f"{name} {task}")
    return context.in_place(to, to.message_id, offered.message)


def _of(names: tuple[str, ...], tasks: Sequence[TaskStatus]) -> list[TaskStatus]:
    by_name = {task.name: task for task in tasks}
    return [by_name[name] for name in names]


def _choose(
    context: HandlerContext, to: Sender, action: CommandName, tasks: Sequence[TaskStatus]
) -> Response:
    text = context.translator.format
    names = [task.name for task in worst_first(tasks) if _makes_sense(action, task)]
    if not names:
        return context.answer(
            to, text("choose-nothing-resume" if action is CommandName.RESUME else "choose-nothing")
        )
    question = text(WORDS[action].choose)
    if len(names) > CHOICES:
        question += "\n" + text("choose-more", count=CHOICES, command=WORDS[action].command)
    buttons = task_buttons(names, action.value)
    count = sum(_is_meant_by_all(action, task) for task in tasks)
    if count > 1:
        data = encode(Origin.MENU, f"{MANY}.{WORDS[action].command}", "-")
        buttons.insert(0, [Button(text(_ALL_BUTTONS[action], count=count), data)])
    return context.answer(to, question, buttons)


_NOTHING = {
    CommandName.RESTART: "choose-nothing-stopped",
    CommandName.RUN_NOW: "choose-nothing-stopped",
    CommandName.PAUSE: "choose-nothing",
    CommandName.RESUME: "choose-nothing-resume",
}
_ALL_BUTTONS = {
    CommandName.RESTART: "button-all-stopped",
    CommandName.RUN_NOW: "button-all-stopped",
    CommandName.PAUSE: "button-all-at-work",
    CommandName.RESUME: "button-all-paused",
}


def _is_meant_by_all(action: CommandName, task: TaskStatus) -> bool:
    match action:
        case CommandName.RESTART | CommandName.RUN_NOW:
            return task.state is State.STOPPED
        case CommandName.PAUSE:
            return task.state is not State.PAUSED
        case CommandName.RESUME:
            return task.state is State.PAUSED


def _makes_sense(action: CommandName, task: TaskStatus) -> bool:
    match action:
        case CommandName.RESTART:
            return True
        case CommandName.PAUSE | CommandName.RESUME:
            return _is_meant_by_all(action, task)
        case CommandName.RUN_NOW:
            return task.running_for_s is None
