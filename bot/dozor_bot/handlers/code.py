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

    desk: HandlerContext
    sender: Sender
    action: CommandName
    tasks: tuple[str, ...]
    in_place: int | None

    def recipient(self) -> Sender:
        return self.sender

    async def send(self) -> None:
        until = self.desk.clock.now() + WITHIN
        self.desk.codes.expect(self.sender, Pending(self.action, self.tasks, until))
        await self.desk.replies.show(self.sender, self.in_place, self.desk.say("code-needed"))


@dataclass(kw_only=True)
class CodedAction(Action):
    """Once it is written, its code is used up."""

    async def send(self) -> None:
        self.desk.codes.done(self.sender.user_id)
        await super().send()


def act(
    desk: HandlerContext, to: Sender, action: CommandName, tasks: tuple[str, ...], in_place: int | None
) -> Response:
    """The command at once, or after a code where one is needed."""
    if desk.codes.needed(action):
        return AskCode(desk=desk, sender=to, action=action, tasks=tasks, in_place=in_place)
    return Action(sender=to, desk=desk, action=action, tasks=tasks, in_place=in_place)


async def on_command(desk: HandlerContext, command: Command, role: Role) -> Response:
    """The code, and with it what was waiting for it."""
    to, now = command.sender, desk.clock.now()
    pending = desk.codes.pending(to.user_id, now)
    if pending is None:
        return desk.answer(to, desk.translator.format("code-nothing"))
    verdict = desk.codes.check(to, command.argument.replace(" ", ""), now)
    used = desk.codes.used(to.user_id)
    if verdict is Verdict.RIGHT and used is not None and to.user_id is not None:
        step, message_id = used
        if not await use_code(desk.pool, to.user_id, step, message_id or 0):
            verdict = Verdict.WRONG  # it was used before the bot was restarted
    if verdict is Verdict.RIGHT:
        return CodedAction(sender=to, desk=desk, action=pending.action, tasks=pending.tasks)
    answer = desk.answer(to, desk.translator.format(_REFUSALS[verdict]))
    attempt = Attempt(
        to.user_id, to.chat_id, f"/code for {pending.action}", DENIED, ", ".join(pending.tasks)[:200]
    )
    return Denial(attempt=attempt, count=1, answer=answer)
