"""`/code 123456`: the second half of a command that takes a one-time code."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.control.commands.commands import CommandName
from dozor_bot.handlers.acting import Action
from dozor_bot.handlers.context import HandlerContext
from dozor_bot.responses import DENIED, Denial, Response
from dozor_bot.security.access import Role
from dozor_bot.security.flood import Attempt
from dozor_bot.security.totp import WITHIN, Pending, Verdict
from dozor_bot.security.used_codes import use_code
from dozor_bot.telegram.incoming import Command, Sender

_REFUSALS = {
    Verdict.WRONG: "code-wrong",
    Verdict.NO_SECRET: "code-no-secret",
    Verdict.TOO_MANY: "code-too-many",
}


@dataclass(kw_only=True)
class AskCode(Response):
    """Asks for the code, and does nothing yet."""

    context: HandlerContext
    sender: Sender
    action: CommandName
    tasks: tuple[str, ...]
    in_place: int | None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        until = self.context.clock.now() + WITHIN
        self.context.codes.expect(self.sender, Pending(self.action, self.tasks, until))
        await self.context.replies.show(self.sender, self.in_place, self.context.say("code-needed"))


@dataclass(kw_only=True)
class CodedAction(Action):
    """Once it is written, its code is used up."""

    async def send(self) -> None:
        self.context.codes.done(self.sender.user_id)
        await super().send()


def act(
    context: HandlerContext, to: Sender, action: CommandName, tasks: tuple[str, ...], in_place: int | None
) -> Response:
    """The command at once, or after a code where one is needed."""
    if context.codes.needed(action):
        return AskCode(context=context, sender=to, action=action, tasks=tasks, in_place=in_place)
    return Action(sender=to, context=context, action=action, tasks=tasks, in_place=in_place)


async def on_command(context: HandlerContext, command: Command, role: Role) -> Response:
    """The code, and with it what was waiting for it."""
    to, now = command.sender, context.clock.now()
    pending = context.codes.pending(to.user_id, now)
    if pending is None:
        return context.answer(to, context.translator.format("code-nothing"))
    verdict = context.codes.check(to, command.argument.replace(" ", ""), now)
    used = context.codes.used(to.user_id)
    if verdict is Verdict.RIGHT and used is not None and to.user_id is not None:
        step, message_id = used
        if not await use_code(context.pool, to.user_id, step, message_id or 0):
            verdict = Verdict.WRONG  # it was used before the bot was restarted
    if verdict is Verdict.RIGHT:
        return CodedAction(sender=to, context=context, action=pending.action, tasks=pending.tasks)
    answer = context.answer(to, context.translator.format(_REFUSALS[verdict]))
    attempt = Attempt(
        to.user_id, to.chat_id, f"/code for {pending.action}", DENIED, ", ".join(pending.tasks)[:200]
    )
    return Denial(attempt=attempt, count=1, answer=answer)
